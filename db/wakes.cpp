#include "db/wakes.hpp"

#include "db/statements.hpp"
#include "messages/job_limits.hpp"

#include <charconv>

namespace troupe::db {

namespace {

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

} // namespace

std::optional<hint> parse_hint(std::string_view payload) {
  const auto space = payload.find(' ');
  const auto word = payload.substr(0, space);
  const auto rest =
      space == std::string_view::npos ? std::string_view{} : payload.substr(space + 1);
  if (word == "wake" && is_valid_name(rest))
    return wake_hint{std::string{rest}};
  if (word == "due") {
    const auto delay = number_in(rest);
    if (delay && std::chrono::milliseconds{*delay} <= limits::max_delay)
      return due_hint{std::chrono::milliseconds{*delay}};
  }
  if (payload == "beat")
    return beat_hint{};
  if (word == "beat")
    if (const auto node = number_in(rest))
      return beat_hint{node_id{*node}};
  if (word == "token")
    if (const auto token = number_in(rest))
      return token_hint{*token};
  return std::nullopt;
}

query listen_query() {
  return query{sql::wake_listen};
}

query recent_queues_query(std::int32_t limit) {
  query q{sql::wake_recent};
  q.bind(limit);
  return q;
}

std::vector<std::string> decode_recent_queues(const result& rows) {
  return rows.one().get<std::vector<std::string>>(0);
}

query sleep_query(const sleep_request& ask) {
  query q{sql::wake_sleep};
  q.bind(ask.sleep).bind(ask.again).bind(ask.awake);
  return q;
}

std::vector<slept> decode_slept(const result& rows) {
  std::vector<slept> all;
  all.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i)
    all.push_back(
        {rows[i].get<std::string>(0), static_cast<sleep_state>(rows[i].get<std::int16_t>(1))});
  return all;
}

} // namespace troupe::db
