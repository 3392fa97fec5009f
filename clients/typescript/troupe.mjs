// See troupe.d.mts, which has the types and says what each is for.
import {randomUUID} from "node:crypto";
import {hostname} from "node:os";

const VERSION = "1.0";
const FINAL_STATES = new Set(["completed", "cancelled", "discarded"]);
const OUTCOMES_AT_ONCE = 100;
const PROGRESS_AT_ONCE = 100;
const LINES_AT_ONCE = 1_000;
const LINES_KEPT = 10_000; // not yet sent; further ones are dropped, as the server would
const CLAIM_WAIT_MS = 10_000;

/** Ends after so long, or when the signal is aborted. */
const pause = (ms, signal) => new Promise((resolve) => {
  if (signal?.aborted) return resolve();
  const done = () => { clearTimeout(timer); signal?.removeEventListener("abort", done); resolve(); };
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", done, {once: true});
});

/** Doubles from 0.1 s to 5 s, spread by half so that workers do not come back together. */
class Backoff {
  #ms = 0;
  reset() { this.#ms = 0; }
  next() {
    this.#ms = Math.min(5_000, this.#ms * 2) || 100;
    return this.#ms * (0.5 + Math.random() / 2);
  }
}

export class TroupeError extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code ?? ""}: ${problem.detail ?? ""}`);
    this.name = "TroupeError";
    this.status = status;
    this.code = problem.code ?? "";
    this.detail = problem.detail ?? "";
    this.retryable = problem.retryable ?? false;
    this.errors = problem.errors ?? [];
  }
}

export class Snooze extends Error {
  constructor(delayMs) {
    super(`again in ${delayMs} ms`);
    this.name = "Snooze";
    this.delayMs = delayMs;
  }
}

export class Discard extends Error {
  constructor(message) {
    super(message);
    this.name = "Discard";
  }
}

export class Client {
  #base; #token; #timeoutMs;

  constructor(url = "http://127.0.0.1:8080", {token = process.env.TROUPE_TOKEN, timeoutMs = 30_000} = {}) {
    this.#base = new URL(url).href.replace(/\/+$/, "");
    this.#token = token;
    this.#timeoutMs = timeoutMs;
  }

  async request(method, path, body, {idempotencyKey, patienceMs = 0, signal} = {}) {
    const headers = {Accept: "application/json", "User-Agent": `troupe-typescript/${VERSION}`};
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const ending = new AbortController();
    const end = () => ending.abort();
    const timer = setTimeout(end, this.#timeoutMs + patienceMs);
    signal?.addEventListener("abort", end, {once: true});
    if (signal?.aborted) end();
    let answer, text;
    try {
      answer = await fetch(this.#base + path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: ending.signal});
      text = await answer.text();
    } catch (why) { // it may have happened
      const detail = `no answer from ${new URL(this.#base).origin}: ${why.cause?.message || why.cause?.code || why}`;
      throw new TroupeError(0, {code: "unreachable", detail, retryable: true});
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
    let content = null;
    try {
      content = text === "" ? null : JSON.parse(text);
    } catch {
      content = {detail: text.slice(0, 200)};
    }
    if (answer.status >= 400) throw new TroupeError(answer.status, content ?? {});
    return content;
  }

  async enqueue(kind, args = {}, {idempotencyKey, ...options} = {}) {
    return this.#again("/api/v1/jobs", {kind, args, ...options}, idempotencyKey);
  }

  async enqueueMany(jobs, {idempotencyKey} = {}) {
    return (await this.#again("/api/v1/jobs/bulk", {jobs}, idempotencyKey)).ids;
  }

  async get(id) { return this.request("GET", `/api/v1/jobs/${id}`); }

  async cancel(id) { return this.request("POST", `/api/v1/jobs/${id}/cancel`, {}); }

  async wait(id, timeoutMs = 60_000) {
    const until = Date.now() + timeoutMs;
    for (let ms = 20;; ms = Math.min(1_000, ms * 1.5)) {
      const job = await this.get(id);
      if (FINAL_STATES.has(job.state)) return job;
      const left = until - Date.now();
      if (left <= 0) throw new Error(`job ${id} is ${job.state} after ${timeoutMs} ms`);
      await pause(Math.min(ms, left));
    }
  }

  async #again(path, body, idempotencyKey = randomUUID()) {
    try {
      return await this.request("POST", path, body, {idempotencyKey});
    } catch (why) {
      if (why.status !== 0) throw why;
      return this.request("POST", path, body, {idempotencyKey});
    }
  }
}

/** A run with what its worker knows of it. */
class Held {
  #worker;

  constructor(worker, session, job) {
    this.#worker = worker;
    this.session = session;
    this.id = job.id;
    this.kind = job.kind;
    this.queue = job.queue;
    this.args = job.args;
    this.attempt = job.attempt;
    this.maxAttempts = job.max_attempts;
    this.tags = job.tags;
    this.traceparent = job.traceparent ?? null;
    this.ending = new AbortController();
    this.signal = this.ending.signal;
    this.timedOut = false;
    this.givenBack = false;
    this.key = {lease: job.lease, job: job.id, attempt: job.attempt};
    if (job.timeout_ms !== null)
      this.timer = setTimeout(() => { this.timedOut = true; this.ending.abort(); },
                              Math.min(job.timeout_ms, 2 ** 31 - 1));
  }

  progress(percent, message = "") { this.#worker.tellProgress(this, {...this.key, percent, message}); }
  log(line, level = "info") { this.#worker.tellLine(this, {...this.key, line: String(line), level}); }
}

/** The parts of a worker; Worker shows those that are for its users. */
class Work {
  session = null;
  joining = null; // another life being begun
  heartbeatMs = 1_000;
  runs = new Map(); // session and job -> Held, until its outcome is written
  outcomes = [];
  told = new Map();
  lines = [];
  quiet = false;
  stopping = new AbortController();
  ended = new AbortController();
  changed = new Set(); // whoever waits for something to change

  constructor(client, {queues, handlers, slots = 4, name = `${hostname().slice(0, 80)}-${process.pid}`.replace(/[^A-Za-z0-9._:-]/g, "-"),
                       leaseMs = 15_000, graceMs = 30_000, onError = () => {}}) {
    Object.assign(this, {client, queues, handlers, slots, name, leaseMs, graceMs, onError});
  }

  async run() {
    await this.join();
    const loops = [this.claimAll(), this.beatAll(), this.sendAll()];
    await new Promise((resolve) => {
      if (this.stopping.signal.aborted) resolve();
      else this.stopping.signal.addEventListener("abort", resolve, {once: true});
    });
    await this.end();
    await Promise.all(loops);
  }

  change() {
    for (const wake of this.changed) wake();
    this.changed.clear();
  }

  /** Ends with the next change, at the latest after so long. */
  async nextChange(ms) {
    const woken = new AbortController();
    this.changed.add(() => woken.abort());
    await pause(ms, woken.signal);
  }

  // -- the three loops ------------------------------------------------------------------------------

  async claimAll() {
    const backoff = new Backoff();
    while (!this.stopping.signal.aborted) {
      const free = this.slots - this.runs.size;
      const session = this.session;
      if (free <= 0 || this.quiet || session === null) {
        await this.nextChange(500);
        continue;
      }
      try {
        const {jobs} = await this.ask("claim", session, {
          queues: this.queues, limit: Math.min(free, 100), wait_ms: CLAIM_WAIT_MS,
        }, {patienceMs: CLAIM_WAIT_MS, signal: this.stopping.signal});
        backoff.reset();
        // What comes to a worker that stops goes back when it leaves.
        if (!this.stopping.signal.aborted) for (const job of jobs) this.start(session, job);
      } catch (why) {
        if (this.stopping.signal.aborted) return;
        this.fail(session, why);
        await pause(backoff.next(), this.stopping.signal);
      }
    }
  }

  async beatAll() {
    while (!this.ended.signal.aborted) {
      await pause(this.heartbeatMs, this.ended.signal);
      if (!this.ended.signal.aborted) await this.beat();
    }
  }

  async sendAll() {
    const backoff = new Backoff();
    for (;;) {
      if (this.outcomes.length === 0 && this.told.size === 0 && this.lines.length === 0) {
        if (this.ended.signal.aborted) return;
        await this.nextChange(500);
        continue;
      }
      const sending = this.outcomes.slice(0, OUTCOMES_AT_ONCE);
      try {
        await this.sendReports(); // first all that these runs said: behind the outcome it is dropped
        await this.sendOutcomes(sending);
        backoff.reset();
      } catch (why) {
        this.onError(`cannot tell what became of jobs: ${why.message}`);
        await pause(backoff.next(), this.ended.signal);
        if (this.ended.signal.aborted) return;
      }
    }
  }

  // -- one step of each -----------------------------------------------------------------------------

  async join() {
    const backoff = new Backoff();
    while (!this.stopping.signal.aborted) {
      try {
        const kinds = Object.keys(this.handlers).sort();
        const joined = await this.client.request("POST", "/api/v1/work/join", {
          name: this.name, queues: this.queues, slots: this.slots, lease_ms: this.leaseMs,
          version: `troupe-typescript/${VERSION}`, ...(kinds.length > 0 ? {kinds} : {})});
        this.session = joined.session;
        this.heartbeatMs = joined.heartbeat_ms;
        return this.change();
      } catch (why) {
        if (!why.retryable) throw why;
        this.onError(`cannot join: ${why.message}`);
        await pause(backoff.next(), this.stopping.signal);
      }
    }
  }

  async beat() {
    const session = this.session;
    if (session === null) {
      if (this.stopping.signal.aborted) return;
      this.joining = this.join().catch((why) => this.onError(`cannot join: ${why.message}`));
      return this.joining;
    }
    const jobs = [...this.runs.values()].filter((run) => run.session === session).map((run) => run.id);
    try {
      const pulse = await this.ask("heartbeat", session, {jobs});
      for (const job of [...pulse.cancelled, ...pulse.lost]) this.runs.get(`${session} ${job}`)?.ending.abort();
      if (pulse.state !== "run") this.quiet = true;
      if (pulse.state === "terminate") this.stopping.abort();
    } catch (why) {
      this.fail(session, why);
    }
  }

  start(session, job) {
    const run = new Held(this, session, job);
    this.runs.set(`${session} ${run.id}`, run);
    void this.carryOut(run);
  }

  async carryOut(run) {
    const outcome = {...run.key, outcome: "completed"};
    try {
      const handler = Object.hasOwn(this.handlers, run.kind) ? this.handlers[run.kind] : undefined;
      if (handler === undefined) throw new Error(`this worker has no handler for ${run.kind}`);
      const result = await handler(run);
      if (run.timedOut) throw new Error("timed out");
      if (result !== undefined && result !== null) outcome.result = JSON.parse(JSON.stringify(result));
    } catch (why) {
      if (why instanceof Snooze) Object.assign(outcome, {outcome: "snoozed", retry_ms: Math.trunc(why.delayMs)});
      else if (why instanceof Discard) Object.assign(outcome, {outcome: "discarded", error: why.message});
      else Object.assign(outcome, {
        outcome: "failed", error: run.timedOut ? "it ran longer than its time limit" : String(why)});
    }
    clearTimeout(run.timer);
    if (!run.givenBack) this.outcomes.push({run, outcome});
    this.change();
  }

  async sendReports() {
    while (this.told.size > 0 || this.lines.length > 0) {
      const progress = [...this.told.values()].slice(0, PROGRESS_AT_ONCE);
      for (const {run} of progress) this.told.delete(`${run.session} ${run.id}`);
      const lines = this.lines.splice(0, LINES_AT_ONCE);
      const now = Date.now();
      for (const session of new Set([...progress, ...lines].map(({run}) => run.session))) {
        const own = (some) => some.filter(({run}) => run.session === session);
        try {
          await this.ask("report", session, {
            progress: own(progress).map(({said}) => said),
            lines: own(lines).map(({said, at}) => ({...said, ago_ms: Math.min(3_600_000, Math.max(0, now - at))}))});
        } catch (why) { // words are not worth a second try; outcomes are
          this.onError(`what runs said is lost: ${why.message}`);
        }
      }
    }
  }

  async sendOutcomes(all) {
    if (all.length === 0) return;
    const session = all[0].run.session;
    const sending = all.filter(({run}) => run.session === session);
    try {
      await this.finish(session, sending);
    } catch (why) {
      if (why.status === 410) this.fail(session, why);
      else if (why.retryable) throw why;
      else for (const one of sending) await this.sendAlone(session, one); // one made the request a wrong one
    }
    this.outcomes = this.outcomes.filter((one) => !sending.includes(one));
    for (const {run} of sending) this.runs.delete(`${session} ${run.id}`);
    this.change();
  }

  /** Told by itself; refused, it has failed for that reason. */
  async sendAlone(session, {run, outcome}) {
    for (const told of [outcome, {...run.key, outcome: "failed", error: "its outcome was refused"}]) {
      try {
        return await this.finish(session, [{run, outcome: told}]);
      } catch (why) {
        if (why.retryable) throw why;
        this.onError(`the outcome of job ${run.id} was refused: ${why.message}`);
      }
    }
  }

  async finish(session, sending) {
    const {results} = await this.ask("finish", session, {outcomes: sending.map(({outcome}) => outcome)});
    for (const [i, {run, outcome}] of sending.entries()) {
      if (results[i].status !== "invalid") continue;
      const error = `its outcome was refused: ${JSON.stringify(results[i].errors)}`;
      this.onError(`job ${run.id}: ${error}`);
      if (outcome.outcome !== "failed")
        await this.sendAlone(session, {run, outcome: {...run.key, outcome: "failed", error}});
    }
  }

  /** A life that is over takes its runs with it; the next heartbeat begins another one. */
  fail(session, why) {
    this.onError(why.message);
    if (why.status !== 410) return;
    if (this.session === session) this.session = null;
    for (const run of this.runs.values()) if (run.session === session) run.ending.abort();
    this.change();
  }

  async end() {
    const until = Date.now() + this.graceMs;
    while (this.runs.size > 0 && Date.now() < until) await this.nextChange(Math.min(200, until - Date.now()));
    for (const run of this.runs.values()) {
      run.givenBack = true;
      clearTimeout(run.timer);
      run.ending.abort();
    }
    this.outcomes = [];
    if (this.joining !== null) { // or that life would not be left
      const joined = new AbortController();
      await Promise.race([this.joining, pause(Math.max(0, until - Date.now()), joined.signal)]);
      joined.abort();
    }
    this.ended.abort();
    if (this.session === null) return;
    try {
      await this.ask("leave", this.session, {});
    } catch (why) {
      this.onError(`left without a word: ${why.message}`);
    }
    this.change();
  }

  tellProgress(run, said) {
    this.told.set(`${run.session} ${run.id}`, {run, said});
    this.change();
  }

  tellLine(run, said) {
    if (this.lines.length < LINES_KEPT) this.lines.push({run, said, at: Date.now()});
    this.change();
  }

  ask(what, session, body, options) {
    return this.client.request("POST", `/api/v1/work/${what}`, {session, ...body}, options);
  }
}

export class Worker {
  #work;

  constructor(client, options) { this.#work = new Work(client, options); }

  async run({signals = true} = {}) {
    const stop = () => this.stop();
    const watched = signals ? ["SIGTERM", "SIGINT"] : [];
    for (const name of watched) process.on(name, stop);
    try {
      await this.#work.run();
    } finally {
      for (const name of watched) process.off(name, stop);
    }
  }

  stop() { this.#work.stopping.abort(); }
}
