#include "db/token_statements.hpp"

#include "db/columns.hpp"
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

role role_of(const std::string& word) {
  if (const auto found = parse_role(word))
    return *found;
  throw decode_error("a token's role cannot be '" + word + "'");
}

token_record decode(const row& from) {
  token_record token;
  token.id = from.get<std::int64_t>(0);
  token.name = from.get<std::string>(1);
  token.hint = from.get<std::string>(2);
  token.may = role_of(from.get<std::string>(3));
  token.queues = queues_of(from, 4);
  token.created_at = from.get<timestamp>(5);
  token.expires_at = from.get<std::optional<timestamp>>(6);
  token.revoked_at = from.get<std::optional<timestamp>>(7);
  token.last_used_on = from.get<std::optional<std::chrono::sys_days>>(8);
  token.standing = standing_of(from.get<std::string>(9));
  return token;
}

} // namespace

query create_token_query(const create_token& ask) {
  query q{sql::token_create};
  q.bind(ask.name).bind(ask.hint).bind_bytes(ask.hash).bind(to_string(ask.may));
  if (ask.queues.empty())
    q.bind_null<std::vector<std::string>>();
  else
    q.bind(ask.queues);
  q.bind(ask.valid_for ? std::optional<std::int64_t>{ask.valid_for->count()} : std::nullopt);
  bind_asker(q, ask.by);
  return q;
}

query revoke_token_query(const revoke_token& ask) {
  query q{sql::token_revoke};
  q.bind(ask.id);
  bind_asker(q, ask.by);
  return q;
}

token_record decode_token(const result& rows) {
  return decode(rows.one());
}

query tokens_query(const list_tokens& ask) {
  query q{sql::token_list};
  q.bind(ask.after).bind(ask.limit);
  return q;
}

token_page decode_tokens(const result& rows, const list_tokens& asked) {
  token_page page;
  for (int i = 0; i < rows.rows(); ++i)
    page.tokens.push_back(decode(rows[i]));
  if (rows.rows() >= asked.limit && !page.tokens.empty())
    page.next = page.tokens.back().id;
  return page;
}

query find_token_query(const find_token& ask) {
  query q{sql::token_find};
  q.bind_bytes(ask.hash);
  return q;
}

std::optional<found_token> decode_found_token(const result& rows) {
  if (rows.empty())
    return std::nullopt;
  const auto from = rows.one();
  found_token token;
  token.id = from.get<std::int64_t>(0);
  token.name = from.get<std::string>(1);
  token.may = role_of(from.get<std::string>(2));
  token.queues = queues_of(from, 3);
  token.standing = standing_of(from.get<std::string>(4));
  if (const auto left = from.get<std::optional<std::int64_t>>(5))
    token.left = std::chrono::milliseconds{*left};
  return token;
}

query audit_query(const list_audit& ask) {
  query q{sql::audit_list};
  q.bind(ask.before).bind(ask.limit);
  return q;
}

audit_page decode_audit(const result& rows, const list_audit& asked) {
  audit_page page;
  for (int i = 0; i < rows.rows(); ++i) {
    const auto from = rows[i];
    audit_record entry;
    entry.id = from.get<std::int64_t>(0);
    entry.at = from.get<timestamp>(1);
    entry.who = from.get<std::string>(2);
    entry.token = from.get<std::optional<std::int64_t>>(3);
    entry.action = from.get<std::string>(4);
    entry.subject = from.get<std::string>(5);
    entry.request_id = from.get<std::string>(6);
    entry.changes = from.get<std::optional<std::string>>(7);
    page.entries.push_back(std::move(entry));
  }
  if (rows.rows() >= asked.limit && !page.entries.empty())
    page.next = page.entries.back().id;
  return page;
}

} // namespace troupe::db
