// Drain of no-ops by graphile-worker at its best setting found: concurrency 64, local queue 5000,
// completions batched without delay. It deletes finished jobs. Prints one JSON object.
// Usage: node drain.mjs URL JOBS [default]
import { run, runMigrations, makeWorkerUtils } from "graphile-worker";

const [url, count, mode] = process.argv.slice(2);
const jobs = Number(count);
const silent = { logger: undefined };
const worker = mode === "default"
  ? { connectionString: url, maxPoolSize: 10, concurrentJobs: 1 }
  : {
      connectionString: url,
      maxPoolSize: 10,
      concurrentJobs: 64,
      localQueue: { size: 5000 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    };
const { Logger } = await import("graphile-worker");
silent.logger = new Logger(() => () => {});

await runMigrations({ connectionString: url, ...silent });
const utils = await makeWorkerUtils({ connectionString: url, ...silent });
let begun = process.hrtime.bigint();
const since = () => Number(process.hrtime.bigint() - begun) / 1e9;
for (let done = 0; done < jobs; done += 1000) {
  const batch = [];
  for (let i = done; i < Math.min(jobs, done + 1000); ++i)
    batch.push({ identifier: "noop", payload: { n: i, to: "user@example.com" } });
  await utils.addJobs(batch);
}
const enqueued = since();

let ran = 0;
begun = process.hrtime.bigint();
const runner = await run({
  preset: { worker },
  taskList: { noop: async () => { ++ran; } },
  noHandleSignals: true,
  ...silent,
});
const left = async () =>
  utils.withPgClient(async (client) =>
    Number((await client.query("select count(*) as n from graphile_worker._private_jobs")).rows[0].n));
while (ran < jobs) await new Promise((resolve) => setTimeout(resolve, 2));
// What ran is deleted a moment later; the last deletion is the end.
while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
const seconds = since();
console.log(JSON.stringify({ jobs, seconds, jobs_per_second: Math.round(jobs / seconds),
  enqueue_per_second: Math.round(jobs / enqueued) }));
await runner.stop();
await utils.release();
process.exit(0);
