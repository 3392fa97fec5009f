// A worker: counts words, and shows what a handler may do.
//   troupe dev --queue ts:0    # a node that leaves the queue to workers takes any kind for it
//   TROUPE_URL=http://127.0.0.1:8080 node clients/typescript/examples/worker.mjs ts
//   troupe enqueue words --queue ts --args '{"text":"to be or not"}' --wait
import {Client, Discard, Snooze, Worker} from "../troupe.mjs";

const name = `ts-${process.pid}`;
const worker = new Worker(new Client(process.env.TROUPE_URL), {
  name,
  queues: process.argv.length > 2 ? process.argv.slice(2) : ["ts"],
  leaseMs: Number(process.env.LEASE_MS ?? 15_000),
  graceMs: Number(process.env.GRACE ?? 30) * 1_000,
  onError: (text) => console.error(text),
  handlers: {
    words(run) {
      run.log(`counting, attempt ${run.attempt}`);
      const words = run.args.text.split(/\s+/).filter(Boolean).length;
      run.progress(100, "counted");
      return {words, by: name};
    },
    flaky(run) { // until its last attempt
      if (run.attempt < run.maxAttempts) throw new Error(`attempt ${run.attempt} fails`);
      return {attempt: run.attempt};
    },
    async careful(run) { // until it is told to stop
      run.progress(null, "waiting");
      await new Promise((resolve) => run.signal.addEventListener("abort", resolve, {once: true}));
      throw new Error("stopped");
    },
    later(run) {
      if (run.args.discard) throw new Discard("never again");
      throw new Snooze(3_600_000);
    },
  },
});
await worker.run();
