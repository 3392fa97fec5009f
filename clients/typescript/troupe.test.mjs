// The client against a server that does as each test says, and against a node where TROUPE_URL names one.
//   node --test clients/typescript/
import assert from "node:assert/strict";
import {createServer} from "node:http";
import {test} from "node:test";
import {Client, Discard, Snooze, TroupeError, Worker} from "./troupe.mjs";

/** A server for as long as `use` runs; `answer` gets each request with its body, read as JSON. */
async function served(answer, use) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const one = {method: request.method, path: request.url, headers: request.headers,
                 body: text === "" ? undefined : JSON.parse(text)};
    asked.push(one);
    const told = await answer(one, asked.length, request, response);
    if (told === undefined || response.destroyed) return;
    const [status, body] = told;
    response.writeHead(status, {"Content-Type": "application/json"});
    response.end(body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${server.address().port}`, asked);
  } finally {
    server.closeAllConnections?.();
    await new Promise((resolve) => server.close(resolve));
  }
}

const cutOff = (request) => { request.socket.destroy(); };

test("a request says who asks, with its token, and takes what is answered", async () => {
  await served(() => [200, {id: "9007199254740993"}], async (url, asked) => {
    const client = new Client(`${url}//`, {token: "secret"});
    assert.equal((await client.get("9007199254740993")).id, "9007199254740993");
    assert.equal(asked[0].path, "/api/v1/jobs/9007199254740993");
    assert.equal(asked[0].headers.authorization, "Bearer secret");
    assert.match(asked[0].headers["user-agent"], /^troupe-typescript\//);
    assert.equal(asked[0].headers["content-type"], undefined);
  });
});

test("a job whose answer was lost is asked for again with the same key, once", async () => {
  await served((_, count, request) => count === 1 ? cutOff(request) : [201, {id: "1"}], async (url, asked) => {
    assert.deepEqual(await new Client(url).enqueue("mail", {a: 1}, {queue: "q"}), {id: "1"});
    assert.equal(asked.length, 2);
    assert.ok(asked[0].headers["idempotency-key"]);
    assert.equal(asked[0].headers["idempotency-key"], asked[1].headers["idempotency-key"]);
    assert.deepEqual(asked[1].body, {kind: "mail", args: {a: 1}, queue: "q"});
  });
  await served((_, count, request) => cutOff(request), async (url, asked) => {
    await assert.rejects(new Client(url).enqueueMany([{kind: "mail"}], {idempotencyKey: "mine"}),
                         (why) => why instanceof TroupeError && why.status === 0 && why.code === "unreachable" && why.retryable);
    assert.deepEqual(asked.map(({headers}) => headers["idempotency-key"]), ["mine", "mine"]);
  });
});

test("what the server refuses is not asked again and says why", async () => {
  const problem = {code: "invalid_argument", detail: "no", retryable: false, errors: [{pointer: "/kind", detail: "no"}]};
  await served(() => [400, problem], async (url, asked) => {
    await assert.rejects(new Client(url).enqueue("mail"), (why) => {
      assert.ok(why instanceof TroupeError);
      const {status, code, detail, retryable, errors} = why;
      assert.deepEqual({status, code, detail, retryable, errors}, {status: 400, ...problem});
      return true;
    });
    assert.equal(asked.length, 1);
  });
});

test("an answer that is no JSON is an error with its text", async () => {
  await served(() => [502, "<html>bad gateway"], async (url) => {
    await assert.rejects(new Client(url).get("1"), (why) => why.status === 502 && why.detail === "<html>bad gateway" && !why.retryable);
  });
});

test("a request has an end although the server never answers", async () => {
  await served(() => undefined, async (url) => {
    await assert.rejects(new Client(url, {timeoutMs: 50}).get("1"), (why) => why.code === "unreachable");
    const stop = new AbortController();
    const asked = new Client(url).request("GET", "/", undefined, {signal: stop.signal});
    stop.abort();
    await assert.rejects(asked, (why) => why.code === "unreachable");
  });
});

test("a wait ends with the job's end, and says so when its time is over", async () => {
  await served((_, count) => [200, {id: "1", state: count < 3 ? "running" : "completed"}], async (url, asked) => {
    assert.equal((await new Client(url).wait("1")).state, "completed");
    assert.equal(asked.length, 3);
  });
  await served(() => [200, {state: "running"}], async (url) => {
    await assert.rejects(new Client(url).wait("1", 30), /job 1 is running after 30 ms/);
  });
});

/** What a worker is answered: one life, these jobs once, every outcome taken unless `finish` says otherwise. */
function scripted(jobs, finish = ({outcomes}) => [200, {results: outcomes.map(() => ({status: "ok"}))}]) {
  const all = {join: 0, told: [], left: 0};
  let waiting = jobs;
  all.answer = ({path, body}) => {
    switch (path.slice("/api/v1/work/".length)) {
      case "join": all.join++; return [201, {session: `s${all.join}`, heartbeat_ms: 20}];
      case "claim": {
        if (waiting.length === 0) return new Promise((resolve) => setTimeout(() => resolve([200, {jobs: []}]), 20));
        const given = waiting.slice(0, body.limit);
        waiting = waiting.slice(body.limit);
        return [200, {jobs: given}];
      }
      case "heartbeat": return [200, {state: "run", cancelled: [], lost: []}];
      case "report": return [200, {fenced: [], dropped: 0}];
      case "finish": all.told.push(...body.outcomes.map((one) => ({...one, session: body.session}))); return finish(body, all);
      case "leave": all.left++; return [200, {}];
      default: return [404, {}];
    }
  };
  return all;
}

const held = (id, kind, args = {}) => ({id, kind, args, queue: "q", lease: id, attempt: 1, max_attempts: 3, tags: [], timeout_ms: null});

async function worked(script, handlers, enough) {
  const errors = [];
  await served(script.answer, async (url) => {
    const worker = new Worker(new Client(url), {queues: ["q"], handlers, graceMs: 60_000, onError: (text) => {
      errors.push(text);
      if (enough(script)) worker.stop();
    }});
    const watch = setInterval(() => { if (enough(script)) worker.stop(); }, 5);
    const late = setTimeout(() => worker.stop(), 60_000);
    await worker.run({signals: false});
    clearInterval(watch);
    clearTimeout(late);
  });
  return errors;
}

test("each way in which a handler ends is told as what it is", async () => {
  const script = scripted(["good", "bad", "later", "never", "unknown", "toString"].map((kind, n) => held(String(n), kind)));
  await worked(script, {
    good: () => ({n: 1}),
    bad() { throw new Error("broke"); },
    later() { throw new Snooze(1_234.5); },
    never() { throw new Discard("no use"); },
  }, ({told}) => told.length >= 6);
  const by = Object.fromEntries(script.told.map((one) => [one.job, one]));
  assert.deepEqual([by[0].outcome, by[0].result], ["completed", {n: 1}]);
  assert.deepEqual([by[1].outcome, by[1].error], ["failed", "Error: broke"]);
  assert.deepEqual([by[2].outcome, by[2].retry_ms], ["snoozed", 1_234]);
  assert.deepEqual([by[3].outcome, by[3].error], ["discarded", "no use"]);
  assert.match(by[4].error, /no handler for unknown/);
  assert.match(by[5].error, /no handler for toString/);
  assert.equal(script.left, 1);
});

test("an outcome that could not be told is told again, and one that is refused has failed for that", async () => {
  let count = 0;
  const again = scripted([held("1", "good")], ({outcomes}) =>
    ++count === 1 ? [503, {code: "unavailable", retryable: true}] : [200, {results: outcomes.map(() => ({status: "ok"}))}]);
  await worked(again, {good: () => 1}, () => count >= 2);
  assert.deepEqual(again.told.map(({job, outcome}) => [job, outcome]), [["1", "completed"], ["1", "completed"]]);

  const refused = scripted([held("1", "good"), held("2", "good")], ({outcomes}) => [200, {results: outcomes.map(
    ({job, outcome}) => job === "1" && outcome === "completed" ? {status: "invalid", errors: [{pointer: "/x", detail: "too long"}]} : {status: "ok"})}]);
  await worked(refused, {good: () => 1}, ({told}) => told.length >= 3);
  const failed = refused.told.find(({outcome}) => outcome === "failed");
  assert.equal(failed.job, "1");
  assert.match(failed.error, /too long/);
});

test("a worker whose life is over begins another one", async () => {
  let over = true;
  const script = scripted([held("1", "good")], ({outcomes}) => {
    if (!over) return [200, {results: outcomes.map(() => ({status: "ok"}))}];
    over = false;
    return [410, {code: "worker_gone", retryable: false}];
  });
  const errors = await worked(script, {good: () => 1}, ({join}) => join >= 2);
  assert.equal(script.join, 2);
  assert.ok(errors.some((text) => text.includes("worker_gone")));
  assert.equal(script.left, 1);
});

test("a node answers as it is documented", {skip: !process.env.TROUPE_URL && "TROUPE_URL names no node"}, async () => {
  const client = new Client(process.env.TROUPE_URL);
  const job = await client.enqueue("words", {text: "\u2603 a\n"}, {queue: "ts", delay_ms: 3_600_000, idempotencyKey: "ts-1"});
  assert.equal((await client.enqueue("words", {text: "\u2603 a\n"}, {queue: "ts", delay_ms: 3_600_000, idempotencyKey: "ts-1"})).id, job.id);
  assert.deepEqual((await client.get(job.id)).args, {text: "\u2603 a\n"});
  await assert.rejects(client.enqueue("words", {}, {queue: "ts", priority: 1, idempotencyKey: "ts-1"}),
                       (why) => why.status === 422 && why.code === "idempotency_key_reused" && !why.retryable);
  await assert.rejects(client.enqueue("", {}), (why) => why.status === 400 && why.errors[0].pointer === "/kind");
  await assert.rejects(client.get("4611686018427387904"), (why) => why.status === 404);
  assert.equal((await client.cancel(job.id)).state, "cancelled");
  assert.equal((await client.wait(job.id)).state, "cancelled");

  const worker = new Worker(client, {queues: ["ts"], name: "ts-test", leaseMs: 120_000, handlers: {words: ({args}) => args.text.length}});
  const running = worker.run({signals: false});
  const ids = await client.enqueueMany(["a", "bb", "ccc"].map((text) => ({kind: "words", args: {text}, queue: "ts"})));
  for (const [i, id] of ids.entries()) assert.equal((await client.wait(id)).attempts[0].result, i + 1);
  worker.stop();
  await running;
});
