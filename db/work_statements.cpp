#include "db/work_statements.hpp"

#include "db/columns.hpp"
#include "db/node_statements.hpp"
#include "db/report_statements.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

void bind_session(query& q, const work_session& by) {
  q.bind(by.node.value).bind_bytes(by.hash).bind(by.token);
}

std::optional<std::chrono::milliseconds> pause(const row& from, int column) {
  const auto ms = from.get<std::optional<std::int64_t>>(column);
  if (!ms)
    return std::nullopt;
  return std::chrono::milliseconds{*ms};
}

work_effects effects(const row& from, int next_ms, int steered) {
  return {pause(from, next_ms), from.get<std::vector<std::string>>(steered)};
}

/// By what is stored of an attempt; 0: nothing, it was snoozed.
run_end end_of(std::int16_t stored) {
  switch (static_cast<outcome>(stored)) {
  case outcome::completed:
    return run_end::completed;
  case outcome::cancelled:
    return run_end::cancelled;
  case outcome::discarded:
    return run_end::discarded;
  case outcome::failed:
    return run_end::retried;
  case outcome::lost:
    return run_end::fenced;
  }
  return run_end::snoozed;
}

/// Six columns of arrays side by side; null when nothing was asked for.
std::vector<told_work> told_runs(const row& from, int first) {
  std::vector<told_work> out;
  const auto jobs = from.get<std::optional<std::vector<std::int64_t>>>(first);
  if (!jobs)
    return out;
  const auto took = from.get<std::vector<std::int64_t>>(first + 1);
  const auto ends = from.get<std::vector<std::int16_t>>(first + 2);
  auto queues = from.get<std::vector<std::string>>(first + 3);
  auto kinds = from.get<std::vector<std::string>>(first + 4);
  auto traces = from.get<std::vector<std::string>>(first + 5);
  for (std::size_t i = 0; i < jobs->size(); ++i)
    out.push_back({job_id{jobs->at(i)}, std::chrono::milliseconds{took.at(i)}, end_of(ends.at(i)),
                   std::move(queues.at(i)), std::move(kinds.at(i)), std::move(traces.at(i))});
  return out;
}

} // namespace

query join_worker_query(const join_worker& ask) {
  query q{sql::work_join};
  q.bind(ask.name).bind(ask.queues).bind(ask.kinds).bind(std::int32_t{ask.slots});
  if (ask.version.empty())
    q.bind_null<std::string>();
  else
    q.bind(ask.version);
  q.bind(static_cast<std::int32_t>(ask.lease.count())).bind_bytes(ask.by.hash).bind(ask.by.token);
  return q;
}

joined_worker decode_joined_worker(const result& rows) {
  return {node_id{rows.one().get<std::int64_t>(0)}};
}

query claim_queue_query(const claim_queue& ask) {
  query q{sql::work_claim};
  bind_session(q, ask.by);
  q.bind(ask.queue).bind(std::int32_t{ask.limit});
  return q;
}

claimed_work decode_claimed_work(const result& rows, const claim_queue& asked) {
  claimed_work answer;
  if (rows.rows() == 0)
    return answer;
  answer.wait = pause(rows[0], 11);
  answer.again = rows[0].get<std::optional<bool>>(12);
  answer.quiet = rows[0].get<std::optional<bool>>(14).value_or(false);
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    if (!from.get<std::optional<std::int64_t>>(1))
      continue;
    claimed_job job;
    job.lease = lease_id{from.get<std::int64_t>(0)};
    job.id = job_id{from.get<std::int64_t>(1)};
    job.attempt = from.get<std::int16_t>(2);
    job.max_attempts = from.get<std::int16_t>(3);
    job.timeout = pause(from, 4);
    job.queue = asked.queue;
    job.kind = from.get<std::string>(5);
    job.args = from.get<std::string>(6);
    job.priority = from.get<std::int16_t>(7);
    job.tags =
        from.get<std::optional<std::vector<std::string>>>(8).value_or(std::vector<std::string>{});
    job.limit_key = from.get<std::optional<std::string>>(9).value_or("");
    job.created_at = from.get<timestamp>(10);
    job.traceparent = from.get<std::optional<std::string>>(13).value_or("");
    answer.jobs.push_back(std::move(job));
  }
  return answer;
}

query finish_work_query(const finish_work& ask) {
  using run = ended_work;
  query q{sql::work_finish};
  bind_session(q, ask.by);
  q.bind(column(ask.runs, [](const run& one) { return one.lease.value; }));
  q.bind(column(ask.runs, [](const run& one) { return one.id.value; }));
  q.bind(column_of<std::int16_t>(ask.runs, &run::attempt));
  q.bind(column(ask.runs, [](const run& one) { return outcome_code(one.result.kind); }));
  q.bind_jsonb_array(column(ask.runs, [](const run& one) { return one.result.result; }));
  q.bind_text_array(column(ask.runs, [](const run& one) { return one.result.error; }));
  q.bind(column(ask.runs, [](const run& one) {
    return one.result.retry_in ? std::optional<std::int64_t>{one.result.retry_in->count()}
                               : std::nullopt;
  }));
  q.bind(ask.tell);
  return q;
}

finished_work decode_finished_work(const result& rows) {
  const auto from = rows.one();
  return {column(from.get<std::vector<std::int16_t>>(0),
                 [](std::int16_t fate) { return static_cast<work_fate>(fate); }),
          effects(from, 1, 2), told_runs(from, 3)};
}

query beat_worker_query(const beat_worker& ask) {
  query q{sql::work_beat};
  bind_session(q, ask.by);
  if (ask.jobs)
    q.bind(column(*ask.jobs, &job_id::value));
  else
    q.bind(std::nullopt);
  return q;
}

work_pulse decode_work_pulse(const result& rows) {
  const auto from = rows.one();
  work_pulse answer;
  answer.cancelled = ids<job_id>(from.get<std::vector<std::int64_t>>(0));
  answer.lost = ids<job_id>(from.get<std::vector<std::int64_t>>(1));
  answer.put_back = ids<job_id>(from.get<std::vector<std::int64_t>>(2));
  answer.effects = effects(from, 3, 4);
  if (const auto wanted = from.get<std::optional<std::string>>(5))
    answer.wanted = *wanted == "quiet" ? work_wish::quiet : work_wish::terminate;
  return answer;
}

query report_work_query(const report_work& ask) {
  query q{sql::work_report};
  bind_session(q, ask.by);
  bind_reports(q, ask.told);
  return q;
}

reported_work decode_reported_work(const result& rows) {
  const auto from = rows.one();
  return {ids<job_id>(from.get<std::vector<std::int64_t>>(0)), from.get<std::int64_t>(1)};
}

query leave_worker_query(const leave_worker& ask) {
  query q{sql::work_leave};
  bind_session(q, ask.by);
  return q;
}

left_worker decode_left_worker(const result& rows) {
  const auto from = rows.one();
  return {ids<job_id>(from.get<std::vector<std::int64_t>>(0)), effects(from, 1, 2)};
}

query steer_worker_query(const steer_worker& ask) {
  query q{sql::work_steer};
  q.bind(ask.node.value).bind(ask.terminate ? "terminate" : "quiet");
  bind_asker(q, ask.by);
  return q;
}

steered_worker decode_steered_worker(const result& rows) {
  return {node_id{rows.one().get<std::int64_t>(0)}};
}

} // namespace troupe::db
