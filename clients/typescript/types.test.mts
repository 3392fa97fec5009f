// Compiled and never run: what the types allow, and what they must refuse.
import {Client, Discard, Snooze, TroupeError, Worker} from "./troupe.mjs";
import type {Handler, Job, Json, State} from "./troupe.mjs";

const client = new Client("http://127.0.0.1:8080", {token: "t", timeoutMs: 1});

export async function callers(): Promise<void> {
  const job: Job = await client.enqueue("mail", {to: ["a", null, 1.5]}, {
    queue: "q", priority: 1, delay_ms: 1, tags: ["a"], idempotencyKey: "k",
    retry: {policy: "fixed", delay_ms: 10}, unique: {queue: true}});
  const ids: string[] = await client.enqueueMany([{kind: "mail"}, {kind: "mail", args: [1]}], {idempotencyKey: "k"});
  const state: State = (await client.wait(ids[0], 1_000)).state;
  const result: Json | undefined = (await client.get(job.id)).attempts?.[0].result;
  await client.cancel(job.id);
  void [state, result];
  // @ts-expect-error a job has a kind
  await client.enqueueMany([{queue: "q"}]);
  // @ts-expect-error no such option
  await client.enqueue("mail", {}, {prioritee: 1});
  // @ts-expect-error ids are texts: numbers of 64 bits are not whole in JavaScript
  await client.get(17);
  // @ts-expect-error arguments are JSON
  await client.enqueue("mail", {at: () => 1});
  // @ts-expect-error no such state
  const wrong: State = "done";
  void wrong;
}

export async function workers(): Promise<void> {
  const handler: Handler = async (run) => {
    run.progress(50, "half");
    run.progress(null);
    run.log("line", "warn");
    if (run.signal.aborted) throw new Snooze(1_000);
    if (run.attempt > run.maxAttempts) throw new Discard(`of ${run.queue}: ${run.args.anything}`);
    // @ts-expect-error no such level
    run.log("line", "loud");
    // @ts-expect-error what a run is, is not the handler's to change
    run.id = "1";
    return {done: true};
  };
  const worker = new Worker(client, {queues: ["q"], handlers: {mail: handler, other: () => null}, slots: 2});
  await worker.run({signals: false});
  worker.stop();
  // @ts-expect-error a worker is of some queues
  new Worker(client, {handlers: {}});
  try {
    await client.get("1");
  } catch (why) {
    if (why instanceof TroupeError && why.retryable) void [why.status, why.code, why.errors[0].pointer];
  }
}
