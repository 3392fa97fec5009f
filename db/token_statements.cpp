#include "db/token_statements.hpp"

#include "db/statements.hpp"

namespace troupe::db {

namespace {

token_standing standing_of(const std::string& word) {
  if (word == "live")
    return token_standing::live;
  if (word == "expired")
    return token_standing::expired;
  if (word == "revoked")
    return token_standing::revoked;
  throw decode_error("a token cannot be '" + word + "'");
}

std::vector<std::string> queues_of(const row& from, int column) {
  return from.get<std::optional<std::vector<std::string>>>(column).value_or(
      std::vector<std::string>{});
}

token_record decode(const row& from) {
  token_record token;
  token.id = from.get<std::int64_t>(0);
  token.name = from.get<std::string>(1);
  token.hint = from.get<std::string>(2);
  token.role = from.get<std::string>(3);
  token.queues = queues_of(from, 4);
  token.created_at = from.get<timestamp>(5);
  token.expires_at = from.get<std::optional<timestamp>>(6);
  token.revoked_at = from.get<std::optional<timestamp>>(7);
  token.last_used_on = from.get<std::optional<std::chrono::sys_days>>(8);
  token.standing = standing_of(from.get<std::string>(9));
  return token;
}

} // namespace

query create_token_query(const new_token& ask) {
  query q{sql::token_create};
  q.bind(ask.name).bind(ask.hint).bind_bytes(ask.hash).bind(ask.role);
  if (ask.queues.empty())
    q.bind_null<std::vector<std::string>>();
  else
    q.bind(ask.queues);
  q.bind(ask.valid_for ? std::optional<std::int64_t>{ask.valid_for->count()} : std::nullopt);
  return q;
}

token_record decode_token(const result& rows) {
  return decode(rows.one());
}

query tokens_query(std::int64_t after, std::int32_t limit) {
  query q{sql::token_list};
  q.bind(after).bind(limit);
  return q;
}

std::vector<token_record> decode_tokens(const result& rows) {
  std::vector<token_record> all;
  for (int i = 0; i < rows.rows(); ++i)
    all.push_back(decode(rows[i]));
  return all;
}

query revoke_token_query(std::int64_t id) {
  query q{sql::token_revoke};
  q.bind(id);
  return q;
}

query find_token_query(std::string_view hash) {
  query q{sql::token_find};
  q.bind_bytes(hash);
  return q;
}

std::optional<found_token> decode_found_token(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  const auto from = rows.one();
  found_token token;
  token.id = from.get<std::int64_t>(0);
  token.name = from.get<std::string>(1);
  token.role = from.get<std::string>(2);
  token.queues = queues_of(from, 3);
  token.standing = standing_of(from.get<std::string>(4));
  if (const auto left = from.get<std::optional<std::int64_t>>(5))
    token.left = std::chrono::milliseconds{*left};
  return token;
}

} // namespace troupe::db
