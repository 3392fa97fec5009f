#include "db/why.hpp"

#include "db/statements.hpp"

namespace troupe::db {

namespace {

std::string text_or_empty(const row& from, int column) {
  return from.get<std::optional<std::string>>(column).value_or("");
}

} // namespace

query why_query(const explain_job& ask) {
  query q{sql::job_why};
  q.bind(ask.id);
  return q;
}

job_hold decode_why(const result& rows) {
  const auto from = rows.one();
  job_hold hold;
  hold.id = job_id{from.get<std::int64_t>(0)};
  const auto state = parse_job_state(from.get<std::string>(1));
  const auto reason = parse_hold_reason(from.get<std::string>(2));
  if (!state || !reason)
    throw decode_error("job_why: a state or a reason unknown to this program");
  hold.state = *state;
  hold.reason = *reason;
  hold.queue = from.get<std::string>(3);
  hold.kind = from.get<std::string>(4);
  hold.limit_key = text_or_empty(from, 5);
  hold.node = text_or_empty(from, 6);
  hold.since = from.get<std::optional<timestamp>>(7);
  hold.due_at = from.get<std::optional<timestamp>>(8);
  hold.allowed = from.get<std::optional<std::int64_t>>(9);
  hold.in_use = from.get<std::optional<std::int64_t>>(10);
  hold.ahead = from.get<std::optional<std::int64_t>>(11);
  hold.more_ahead = from.get<bool>(12);
  hold.nodes = from.get<std::int32_t>(13);
  hold.error = text_or_empty(from, 14);
  if (const auto holder = from.get<std::optional<std::int64_t>>(15))
    hold.holder = job_id{*holder};
  return hold;
}

} // namespace troupe::db
