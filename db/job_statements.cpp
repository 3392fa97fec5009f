#include "db/job_statements.hpp"

#include "db/columns.hpp"
#include "db/filter.hpp"
#include "db/retry.hpp"
#include "db/statements.hpp"
#include "db/unique_rule.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace troupe::db {

namespace {

/// The columns every list and job_get begin with, in this order.
job_record decode_record(const row& from) {
  job_record job;
  job.id = job_id{from.get<std::int64_t>(0)};
  job.queue = from.get<std::string>(1);
  job.kind = from.get<std::string>(2);
  job.priority = from.get<std::int16_t>(3);
  const auto state = parse_job_state(from.get<std::string_view>(4));
  if (!state)
    throw decode_error("state: the database names a job state unknown to this program");
  job.state = *state;
  job.args = from.get<std::string>(5);
  job.max_attempts = from.get<std::int16_t>(7);
  if (const auto timeout = from.get<std::optional<std::int64_t>>(8))
    job.timeout = std::chrono::milliseconds{*timeout};
  job.tags = from.get<std::vector<std::string>>(9);
  job.run_at = from.get<timestamp>(10);
  job.created_at = from.get<timestamp>(11);
  job.limit_key = from.get<std::optional<std::string>>(12).value_or("");
  return job;
}

bool any(const std::vector<job_spec>& jobs, bool (*differs)(const job_spec&)) {
  return std::any_of(jobs.begin(), jobs.end(), differs);
}

bool waits(const job_spec& job) {
  return job.run_at || job.delay;
}

bool is_keyed(const enqueue_jobs& ask) {
  return ask.apart || !ask.idempotency_key.empty()
         || std::any_of(ask.parts.begin(), ask.parts.end(),
                        [](const auto& part) { return !part.idempotency_key.empty(); })
         || any(ask.jobs, [](const job_spec& j) { return j.unique.has_value(); });
}

void bind_keys(query& q, const enqueue_jobs& ask, rejections how) {
  q.bind_jsonb_array(column(ask.jobs, [](const job_spec& j) {
    return j.unique ? unique_json(*j.unique) : std::string{};
  }));
  if (how == rejections::raised) {
    q.bind_null<std::vector<std::int32_t>>().bind_null<std::vector<std::string>>();
    return;
  }
  auto parts = ask.parts;
  if (parts.empty())
    parts.push_back({ask.jobs.size(), ask.idempotency_key});
  std::vector<std::int32_t> sizes;
  std::vector<std::string> keys;
  for (auto& part : parts) {
    sizes.push_back(static_cast<std::int32_t>(part.jobs));
    keys.push_back(std::move(part.idempotency_key));
  }
  q.bind(sizes);
  if (std::all_of(keys.begin(), keys.end(), [](const auto& key) { return key.empty(); }))
    q.bind_null<std::vector<std::string>>();
  else
    q.bind_text_array(keys);
}

void decode_fates(const row& from, enqueued_jobs& into) {
  for (const auto fate : from.get<std::vector<std::int16_t>>(2))
    into.fates.push_back(static_cast<enqueue_fate>(fate));
  const auto uses = from.get<std::vector<std::int16_t>>(3);
  const auto times = from.get<std::vector<timestamp>>(4);
  for (std::size_t i = 0; i < uses.size() && i < times.size(); ++i)
    into.parts.push_back({static_cast<key_use>(uses[i]), times[i]});
  if (into.parts.size() == 1) {
    into.use = into.parts.front().use;
    into.created_at = into.parts.front().created_at;
  }
}

std::optional<std::int64_t> count(const std::optional<std::chrono::milliseconds>& time) {
  return time ? std::optional<std::int64_t>{time->count()} : std::nullopt;
}

/// Kinds to tags: what all ways to store jobs begin with.
void bind_jobs(query& q, const std::vector<job_spec>& jobs) {
  q.bind(column(jobs, &job_spec::kind)).bind(column(jobs, &job_spec::queue));
  q.bind_jsonb_array(column(jobs, &job_spec::args));
  q.bind(column_of<std::int16_t>(jobs, &job_spec::priority));
  if (any(jobs, [](const job_spec& j) { return j.max_attempts != job_spec{}.max_attempts; }))
    q.bind(column_of<std::int16_t>(jobs, &job_spec::max_attempts));
  else
    q.bind_null<std::vector<std::int16_t>>();
  if (any(jobs, [](const job_spec& j) { return j.timeout.has_value(); }))
    q.bind(column(jobs, [](const job_spec& j) { return count(j.timeout); }));
  else
    q.bind_null<std::vector<std::int64_t>>();
  if (any(jobs, [](const job_spec& j) { return !j.tags.empty(); }))
    q.bind_text_array(column(jobs, [](const job_spec& j) {
      return j.tags.empty() ? std::string{} : array_literal(j.tags);
    }));
  else
    q.bind_null<std::vector<std::string>>();
}

void bind_limit_keys(query& q, const std::vector<job_spec>& jobs) {
  if (any(jobs, [](const job_spec& j) { return !j.limit_key.empty(); }))
    q.bind_text_array(column(jobs, &job_spec::limit_key));
  else
    q.bind_null<std::vector<std::string>>();
}

void bind_retries(query& q, const std::vector<job_spec>& jobs) {
  std::vector<std::string> policies; // none of them: no element at all
  if (any(jobs, [](const job_spec& j) { return j.retry.has_value(); }))
    policies =
        column(jobs, [](const job_spec& j) { return j.retry ? to_json(*j.retry) : std::string{}; });
  q.bind_jsonb_array(policies);
}

void bind_traces(query& q, const std::vector<job_spec>& jobs) {
  if (any(jobs, [](const job_spec& j) { return !j.traceparent.empty(); }))
    q.bind_text_array(column(jobs, &job_spec::traceparent));
  else
    q.bind_null<std::vector<std::string>>();
}

job_record decode_found(const row& from) {
  auto job = decode_record(from);
  job.attempt = from.get<std::int32_t>(6);
  if (const auto taken_at = from.get<std::optional<timestamp>>(13)) {
    attempt_record running;
    running.attempt = job.attempt;
    running.node = from.get<std::string>(14);
    running.started_at = taken_at;
    if (job.state == job_state::running) {
      job.node = running.node;
      job.started_at = taken_at;
    }
    job.attempts.push_back(std::move(running));
  }
  if (const auto updated_at = from.get<std::optional<timestamp>>(18))
    job.progress = {from.get<std::optional<double>>(15), from.get<std::string>(16),
                    from.get<std::int16_t>(17), *updated_at};
  job.retry = decode_retry(from, 19);
  job.traceparent = from.get<std::optional<std::string>>(20).value_or("");
  return job;
}

attempt_record decode_attempt(const row& from) {
  attempt_record attempt;
  attempt.attempt = from.get<std::int16_t>(0);
  attempt.ended = static_cast<outcome>(from.get<std::int16_t>(1));
  attempt.node = from.get<std::string>(2);
  attempt.started_at = from.get<std::optional<timestamp>>(3);
  attempt.finished_at = from.get<timestamp>(4);
  attempt.result = from.get<std::optional<std::string>>(5).value_or("");
  attempt.error = from.get<std::optional<std::string>>(6).value_or("");
  return attempt;
}

/// Two statements, two moments: the run seen in the first may have ended before the second.
void put_before_running(std::vector<attempt_record> ended, job_record& into) {
  for (auto& running : into.attempts)
    if (ended.empty() || ended.back().attempt < running.attempt)
      ended.push_back(std::move(running));
  into.attempts = std::move(ended);
}

} // namespace

std::string array_literal(const std::vector<std::string>& texts) {
  std::string literal = "{";
  for (const auto& text : texts) {
    if (literal.size() > 1)
      literal += ',';
    literal += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\')
        literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  literal += '}';
  return literal;
}

query enqueue_query(const enqueue_jobs& ask, rejections how) {
  const auto& jobs = ask.jobs;
  const bool keyed = is_keyed(ask);
  query q{keyed ? sql::job_enqueue_keyed : sql::job_enqueue};
  bind_jobs(q, jobs);
  if (any(jobs, waits)) {
    q.bind(column(jobs, &job_spec::run_at));
    q.bind(column(jobs, [](const job_spec& j) { return count(j.delay); }));
  } else {
    q.bind_null<std::vector<timestamp>>();
    q.bind_null<std::vector<std::int64_t>>();
  }
  if (keyed)
    bind_keys(q, ask, how);
  bind_limit_keys(q, jobs);
  bind_retries(q, jobs);
  bind_traces(q, jobs);
  return q;
}

query enqueue_here_query(const enqueue_here& ask) {
  query q{sql::job_enqueue_here};
  q.bind(ask.node.value);
  bind_jobs(q, ask.asked->jobs);
  bind_limit_keys(q, ask.asked->jobs);
  bind_retries(q, ask.asked->jobs);
  bind_traces(q, ask.asked->jobs);
  return q;
}

enqueued_here decode_enqueued_here(const result& rows, const enqueue_here& ask) {
  const auto& jobs = ask.asked->jobs;
  if (static_cast<std::size_t>(rows.rows()) != jobs.size())
    throw decode_error("job_enqueue_here: as many rows as jobs are expected");
  enqueued_here answer;
  answer.stored.created_at = rows[0].get<timestamp>(3);
  const auto lease = rows[0].get<std::optional<std::int64_t>>(0);
  if (lease)
    answer.claimed.lease = lease_id{*lease};
  else
    answer.stored.ready_queues.push_back(jobs.front().queue);
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    const auto& spec = jobs[static_cast<std::size_t>(i)];
    answer.stored.ids.push_back(job_id{from.get<std::int64_t>(1)});
    if (!lease)
      continue;
    auto run = std::make_shared<job_run>();
    run->id = answer.stored.ids.back();
    run->attempt = 1;
    run->max_attempts = spec.max_attempts;
    run->timeout = spec.timeout;
    run->retry = spec.retry;
    run->traceparent = spec.traceparent;
    run->kind = spec.kind;
    run->queue = spec.queue;
    run->args = from.get<std::string>(2);
    answer.claimed.jobs.push_back(std::move(run));
  }
  return answer;
}

enqueued_jobs decode_enqueued(const result& rows, const enqueue_jobs& asked) {
  enqueued_jobs answer;
  const auto only = rows.one();
  answer.ids = ids<job_id>(only.get<std::vector<std::int64_t>>(0));
  answer.created_at = only.get<timestamp>(1);
  if (rows.columns() > 2)
    decode_fates(only, answer);
  for (const auto& job : asked.jobs) {
    if (waits(job))
      answer.deferred = true;
    // A run_at in the past is available at once, so its queue is woken as well.
    if (!job.delay
        && std::find(answer.ready_queues.begin(), answer.ready_queues.end(), job.queue)
               == answer.ready_queues.end())
      answer.ready_queues.push_back(job.queue);
  }
  return answer;
}

query job_query(const get_job& ask) {
  query q{sql::job_get};
  q.bind(ask.id.value).bind(ask.args);
  return q;
}

query jobs_query(const get_jobs& ask) {
  query q{sql::jobs_get};
  q.bind(column(ask.ids, &job_id::value)).bind(column(ask.brief, &job_id::value));
  return q;
}

std::optional<job_record> decode_job(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  return decode_found(rows.one());
}

std::vector<job_record> decode_jobs(const result& rows) {
  std::vector<job_record> jobs;
  jobs.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i)
    jobs.push_back(decode_found(rows[i]));
  return jobs;
}

query attempts_query(job_id id) {
  query q{sql::job_attempts};
  q.bind(id.value);
  return q;
}

query attempts_query(const std::vector<job_id>& ids) {
  query q{sql::jobs_attempts};
  q.bind(column(ids, &job_id::value));
  return q;
}

void decode_attempts(const result& rows, job_record& into) {
  std::vector<attempt_record> ended;
  ended.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i)
    ended.push_back(decode_attempt(rows[i]));
  put_before_running(std::move(ended), into);
}

void decode_attempts(const result& rows, std::vector<job_record>& into) {
  std::unordered_map<job_id, std::vector<attempt_record>> ended;
  for (int i = 0; i < rows.rows(); ++i)
    ended[job_id{rows[i].get<std::int64_t>(7)}].push_back(decode_attempt(rows[i]));
  for (auto& job : into)
    if (const auto found = ended.find(job.id); found != ended.end())
      put_before_running(std::move(found->second), job);
}

query list_query(const list_jobs& ask) {
  const auto before =
      ask.before.value > 0 ? ask.before.value : std::numeric_limits<std::int64_t>::max();
  const auto& filter = ask.filter;
  const bool searched = is_searched(filter);
  const auto& whole = searched ? sql::job_find : sql::job_list;
  const auto& brief = searched ? sql::job_find_brief : sql::job_list_brief;
  query q{ask.args ? whole : brief};
  if (searched) {
    bind_filter(q, filter);
    q.bind(before).bind(ask.limit).bind(limits::page_looks).bind(limits::page_look_time);
  } else {
    if (filter.state)
      q.bind(to_string(*filter.state));
    else
      q.bind_null<std::string>();
    q.bind(before).bind(filter.queue).bind(filter.kind);
    q.bind(static_cast<std::int64_t>(ask.limit));
  }
  if (ask.args)
    q.bind(page_args_bytes);
  return q;
}

job_page decode_list(const result& rows, const list_jobs& asked) {
  job_page page;
  const bool searched = is_searched(asked.filter);
  std::int64_t bytes = 0;
  page.jobs.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    if (searched) {
      if (const auto next = from.get<std::optional<std::int64_t>>(15))
        page.next = job_id{*next};
      if (!from.get<std::optional<std::int64_t>>(0))
        break; // nothing was found
    }
    auto job = decode_record(from);
    bytes += static_cast<std::int64_t>(job.args.size());
    const bool runs = job.state == job_state::running;
    job.attempt = from.get<std::int16_t>(6) + (runs ? 1 : 0);
    if (runs) {
      job.node = from.get<std::string>(13);
      job.started_at = from.get<timestamp>(14);
    }
    page.jobs.push_back(std::move(job));
  }
  const bool full = !searched && rows.rows() >= asked.limit;
  if ((full || bytes >= page_args_bytes) && !page.jobs.empty())
    page.next = page.jobs.back().id;
  return page;
}

query cancel_query(job_id id, const asker& by) {
  query q{sql::job_cancel};
  q.bind(id.value);
  bind_asker(q, by);
  return q;
}

query retry_query(job_id id, const asker& by) {
  query q{sql::job_retry};
  q.bind(id.value);
  bind_asker(q, by);
  return q;
}

query delete_query(job_id id, const asker& by) {
  query q{sql::job_delete};
  q.bind(id.value);
  bind_asker(q, by);
  return q;
}

} // namespace troupe::db
