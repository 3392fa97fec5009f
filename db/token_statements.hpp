// The named statements about bearer tokens: values to query, rows to values. Secrets do not come
// here, only their hashes: 32 bytes of SHA-256.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/token.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::db {

/// What is wrong with it the database says: errc::invalid_argument, and the field first.
struct new_token {
  std::string name;
  std::string hint; ///< trp_ and eight characters
  std::string hash;
  std::string role;
  std::vector<std::string> queues; ///< empty: all
  std::optional<std::chrono::milliseconds> valid_for;
};
/// errc::conflict when as many tokens are there as are kept.
query create_token_query(const new_token& ask);
token_record decode_token(const result& rows);

/// By id, those after this one.
query tokens_query(std::int64_t after, std::int32_t limit);
std::vector<token_record> decode_tokens(const result& rows);

/// errc::not_found without such a token; one that is revoked already is no error. Tells the nodes
/// "token ID".
query revoke_token_query(std::int64_t id);

struct found_token {
  std::int64_t id = 0;
  std::string name;
  std::string role;
  std::vector<std::string> queues; ///< empty: all
  token_standing standing = token_standing::live;
  std::optional<std::chrono::milliseconds> left; ///< until it expires; none: it does not
};
query find_token_query(std::string_view hash);
/// Nothing: no token has this hash.
std::optional<found_token> decode_found_token(const result& rows);

} // namespace troupe::db
