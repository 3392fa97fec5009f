// From the call that adds a job to the start of its task, in an idle worker. Prints one JSON object.
// Usage: node pickup.mjs URL JOBS
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";

const [url, count] = process.argv.slice(2);
const logger = new Logger(() => () => {});
await runMigrations({ connectionString: url, logger });
const utils = await makeWorkerUtils({ connectionString: url, logger });
let began;
const runner = await run({
  preset: { worker: { connectionString: url, concurrentJobs: 4, logger } },
  taskList: { probe: async () => began(process.hrtime.bigint()) },
  noHandleSignals: true,
  logger,
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const took = [];
await pause(500);
for (let i = 0; i < Number(count); ++i) {
  const start = new Promise((resolve) => { began = resolve; });
  const asked = process.hrtime.bigint();
  await utils.addJob("probe", { n: i });
  took.push(Number((await start) - asked) / 1e6);
  await pause(5 + (i % 7));
}
took.sort((a, b) => a - b);
const at = (share) => took[Math.min(took.length - 1, Math.floor(share * took.length))];
console.log(JSON.stringify({ p50_ms: at(0.5), p99_ms: at(0.99) }));
await runner.stop();
await utils.release();
process.exit(0);
