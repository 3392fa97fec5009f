#include "db/queue_statements.hpp"

#include "db/columns.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

query list(const std::optional<std::string>& only, const std::string& after, int limit) {
  query q{sql::queue_list};
  q.bind(only).bind(after).bind(std::int32_t{limit});
  return q;
}

/// From this column and the two after it.
std::optional<job_rate> rate(const row& from, int column) {
  const auto jobs = from.get<std::optional<std::int32_t>>(column);
  if (!jobs)
    return std::nullopt;
  return job_rate{*jobs, std::chrono::milliseconds{from.get<std::int32_t>(column + 1)},
                  from.get<std::int32_t>(column + 2)};
}

void bind_limits(query& q, const std::optional<std::optional<int>>& runs,
                 const std::optional<std::optional<job_rate>>& given) {
  const auto rate = given.value_or(std::nullopt);
  const auto part = [&](auto value) {
    return rate ? std::optional{static_cast<std::int32_t>(value(*rate))} : std::nullopt;
  };
  q.bind(runs.has_value()).bind(runs.value_or(std::nullopt));
  q.bind(given.has_value()).bind(part([](const job_rate& r) { return r.jobs; }));
  q.bind(part([](const job_rate& r) { return r.period.count(); }));
  q.bind(part([](const job_rate& r) { return r.burst; }));
}

void bind_versions(query& q, const std::optional<queue_versions>& only_at) {
  q.bind(only_at.has_value());
  if (only_at && !only_at->any)
    q.bind(only_at->one_of);
  else
    q.bind_null<std::vector<std::int64_t>>();
}

queue_record decode(const row& from) {
  queue_record queue;
  queue.name = from.get<std::string>(0);
  queue.paused_at = from.get<std::optional<timestamp>>(1);
  queue.concurrency = from.get<std::optional<std::int32_t>>(2);
  queue.version = from.get<std::int64_t>(3);
  queue.changed_at = from.get<std::optional<timestamp>>(4);
  queue.waiting = from.get<std::int64_t>(5);
  queue.running = from.get<std::int64_t>(6);
  queue.rate = rate(from, 7);
  queue.key_concurrency = from.get<std::optional<std::int32_t>>(10);
  queue.key_rate = rate(from, 11);
  queue.ordered = from.get<bool>(14);
  queue.max_waiting = from.get<std::optional<std::int32_t>>(15);
  return queue;
}

} // namespace

query queue_query(const std::string& name) {
  return list(name, "", 1);
}

std::optional<queue_record> decode_queue(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  return decode(rows.one());
}

query queues_query(const list_queues& ask) {
  return list(std::nullopt, ask.after, ask.limit);
}

queue_page decode_queues(const result& rows, const list_queues& asked) {
  queue_page page;
  for (int i = 0; i < rows.rows(); ++i)
    page.queues.push_back(decode(rows[i]));
  if (rows.rows() >= asked.limit && !page.queues.empty())
    page.next = page.queues.back().name;
  return page;
}

query counts_query(const get_counts& ask) {
  query q{sql::queue_counts};
  q.bind(ask.queue.empty() ? std::nullopt : std::optional{ask.queue});
  q.bind(ask.after).bind(std::int32_t{ask.limit});
  return q;
}

counts_page decode_counts(const result& rows, const get_counts& asked) {
  counts_page page;
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    job_counts one;
    one.queue = from.get<std::string>(0);
    int column = 0;
    for (const auto& [state, jobs] : counted_states)
      one.*jobs = from.get<std::int64_t>(++column);
    page.queues.push_back(std::move(one));
  }
  if (asked.queue.empty() && rows.rows() >= asked.limit && !page.queues.empty())
    page.next = page.queues.back().queue;
  return page;
}

query pause_query(const pause_queue& ask) {
  query q{ask.paused ? sql::queue_pause : sql::queue_resume};
  q.bind(ask.name);
  bind_versions(q, ask.only_at);
  bind_asker(q, ask.by);
  return q;
}

query limit_query(const limit_queue& ask) {
  query q{sql::queue_limit};
  q.bind(ask.name);
  bind_limits(q, ask.concurrency, ask.rate);
  bind_limits(q, ask.key_concurrency, ask.key_rate);
  q.bind(ask.ordered);
  q.bind(ask.max_waiting.has_value()).bind(ask.max_waiting.value_or(std::nullopt));
  bind_versions(q, ask.only_at);
  bind_asker(q, ask.by);
  return q;
}

} // namespace troupe::db
