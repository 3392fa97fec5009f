#include "db/bulk_statements.hpp"

#include "db/columns.hpp"
#include "db/json_text.hpp"
#include "db/statements.hpp"

namespace troupe::db {

namespace {

std::string filter_json(const bulk_request& what) {
  object_text out;
  out.filter(what.filter);
  if (what.all)
    out.raw("all", "true");
  return out.take();
}

void bind_request(query& q, const bulk_request& what) {
  q.bind(to_string(what.action)).bind(json{filter_json(what)});
  if (what.ids.empty())
    q.bind_null<std::vector<std::int64_t>>();
  else
    q.bind(column(what.ids, &job_id::value));
  q.bind(what.to_queue).bind(what.to_priority);
}

bulk_record record_of(const row& from) {
  bulk_record out;
  out.id = from.get<std::int64_t>(0);
  out.action = from.get<std::string>(1);
  out.state = from.get<std::string>(2);
  out.filter = from.get<std::string>(3);
  out.ids = from.get<std::int64_t>(4);
  out.to_queue = from.get<std::optional<std::string>>(5);
  if (const auto priority = from.get<std::optional<std::int16_t>>(6))
    out.to_priority = *priority;
  out.created_by = from.get<std::string>(7);
  out.created_at = from.get<timestamp>(8);
  out.ended_at = from.get<std::optional<timestamp>>(9);
  out.matched = from.get<std::int64_t>(10);
  out.changed = from.get<std::int64_t>(11);
  out.skipped = from.get<std::int64_t>(12);
  out.reached = from.get<std::int64_t>(13);
  out.up_to = from.get<std::int64_t>(14);
  out.failures = from.get<std::int32_t>(15);
  out.error = from.get<std::string>(16);
  return out;
}

} // namespace

query start_bulk_query(const start_bulk& ask) {
  query q{sql::bulk_start};
  bind_request(q, ask.what);
  const bool by_token = !ask.what.created_by && ask.by.token;
  q.bind(by_token ? std::optional{ask.by.who} : ask.what.created_by);
  bind_asker(q, ask.by);
  q.bind(ask.key.empty() ? std::optional<std::string>{} : ask.key);
  return q;
}

started_bulk decode_started_bulk(const result& rows) {
  const auto from = rows.one();
  return {from.get<std::optional<std::int64_t>>(0).value_or(0),
          static_cast<key_use>(from.get<std::int16_t>(1))};
}

query preview_bulk_query(const preview_bulk& ask) {
  query q{sql::bulk_preview};
  bind_request(q, ask.what);
  return q;
}

bulk_preview decode_bulk_preview(const result& rows) {
  const auto only = rows.one();
  return {only.get<std::int64_t>(0), only.get<bool>(1),
          ids<job_id>(only.get<std::vector<std::int64_t>>(2))};
}

query bulk_query(std::int64_t id) {
  query q{sql::bulk_get};
  q.bind(id);
  return q;
}

std::optional<bulk_record> decode_bulk(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  return record_of(rows.one());
}

query bulks_query(const list_bulks& ask) {
  query q{sql::bulk_list};
  q.bind(ask.before).bind(ask.limit);
  return q;
}

bulk_page decode_bulks(const result& rows, const list_bulks& asked) {
  bulk_page page;
  for (int i = 0; i < rows.rows(); ++i)
    page.operations.push_back(record_of(rows[i]));
  if (rows.rows() >= asked.limit && !page.operations.empty())
    page.next = page.operations.back().id;
  return page;
}

query cancel_bulk_query(std::int64_t id, const asker& by) {
  query q{sql::bulk_cancel};
  q.bind(id);
  bind_asker(q, by);
  return q;
}

query step_bulk_query() {
  return step_bulk_query(limits::bulk_step_jobs);
}

query step_bulk_query(int jobs) {
  query q{sql::bulk_step};
  q.bind(jobs);
  return q;
}

stepped_bulk decode_stepped(const result& rows) {
  const auto only = rows.one();
  stepped_bulk out;
  out.id = only.get<std::optional<std::int64_t>>(0).value_or(0);
  out.action = only.get<std::string>(1);
  out.state = only.get<std::string>(2);
  out.matched = only.get<std::int64_t>(3);
  out.changed = only.get<std::int64_t>(4);
  out.queues = only.get<std::vector<std::string>>(5);
  out.running = ids<job_id>(only.get<std::vector<std::int64_t>>(6));
  out.error = only.get<std::string>(7);
  return out;
}

query edit_query(const edit_job& ask) {
  object_text changes;
  if (ask.args)
    changes.raw("args", *ask.args);
  if (ask.priority)
    changes.raw("priority", std::to_string(*ask.priority));
  if (ask.queue)
    changes.text("queue", *ask.queue);
  if (ask.max_attempts)
    changes.raw("max_attempts", std::to_string(*ask.max_attempts));
  if (ask.timeout)
    changes.raw("timeout_ms", *ask.timeout ? std::to_string((*ask.timeout)->count()) : "null");
  if (ask.tags)
    changes.texts("tags", *ask.tags);
  if (ask.run_at) {
    if (*ask.run_at)
      changes.text("run_at", json_time(**ask.run_at));
    else
      changes.raw("run_at", "null");
  }
  query q{sql::job_edit};
  q.bind(ask.id.value).bind(json{changes.take()});
  bind_asker(q, ask.by);
  return q;
}

} // namespace troupe::db
