// Drain of no-ops by pg-boss at its best setting found: two workers, batches of 5000, no pause while
// batches are full. It keeps its finished jobs. `default`: its own settings. Prints one JSON object.
// Usage: node drain.mjs URL JOBS [default]
import { PgBoss } from "pg-boss";

const [url, count, mode] = process.argv.slice(2);
const jobs = Number(count);
const tuned = { localConcurrency: 2, batchSize: 5000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
const boss = new PgBoss({ connectionString: url, max: 10, supervise: false, schedule: false });
boss.on("error", (error) => { console.error(error); process.exit(1); });
await boss.start();
await boss.createQueue("noop");

let begun = process.hrtime.bigint();
const since = () => Number(process.hrtime.bigint() - begun) / 1e9;
for (let done = 0; done < jobs; done += 1000) {
  const batch = [];
  for (let i = done; i < Math.min(jobs, done + 1000); ++i)
    batch.push({ data: { n: i, to: "user@example.com" } });
  await boss.insert("noop", batch);
}
const enqueued = since();

let ran = 0;
begun = process.hrtime.bigint();
await boss.work("noop", mode === "default" ? {} : tuned, async (some) => { ran += some.length; });
const db = await boss.getDb();
const left = async () =>
  Number((await db.executeSql("select count(*) as n from pgboss.job where state < 'completed'")).rows[0].n);
while (ran < jobs) await new Promise((resolve) => setTimeout(resolve, 2));
// What ran is completed a moment later; the last completion is the end.
while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 2));
const seconds = since();
console.log(JSON.stringify({ jobs, seconds, jobs_per_second: Math.round(jobs / seconds),
  enqueue_per_second: Math.round(jobs / enqueued) }));
process.exit(0);
