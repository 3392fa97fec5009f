// Bearer tokens as the database keeps them: never the secret, only its hash, 32 bytes of SHA-256.
#pragma once

#include "messages/asker.hpp"
#include "messages/job.hpp"
#include "messages/role.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t token_queues = 100; ///< of one token
constexpr std::size_t token_page = 500;   ///< tokens in one page
constexpr std::chrono::milliseconds max_token_life{std::chrono::hours{24 * 3650}};
} // namespace limits

enum class token_standing : std::uint8_t { live, expired, revoked };

constexpr std::string_view to_string(token_standing value) {
  switch (value) {
  case token_standing::live:
    return "live";
  case token_standing::expired:
    return "expired";
  case token_standing::revoked:
    break;
  }
  return "revoked";
}

struct token_record {
  std::int64_t id = 0;
  std::string name;
  std::string hint; ///< how the secret begins
  role may = role::viewer;
  std::vector<std::string> queues; ///< empty: all; never of an admin
  timestamp created_at;
  std::optional<timestamp> expires_at; ///< none: never
  std::optional<timestamp> revoked_at;
  std::optional<std::chrono::sys_days> last_used_on; ///< UTC
  token_standing standing = token_standing::live;    ///< when the database was asked
};

/// errc::invalid_argument with the field first; errc::conflict when as many tokens are there as are
/// kept. The answer is the token.
struct create_token {
  std::string name;
  std::string hint; ///< trp_ and eight characters
  std::string hash;
  role may = role::viewer;
  std::vector<std::string> queues = {};                    ///< empty: all
  std::optional<std::chrono::milliseconds> valid_for = {}; ///< none: until it is revoked
  asker by = {};
};

/// A page of tokens by id, oldest first.
struct list_tokens {
  std::int64_t after = 0;
  int limit = 100;
};
struct token_page {
  std::vector<token_record> tokens;
  std::optional<std::int64_t> next; ///< the id after which the next page starts
};

/// errc::not_found without such a token; one that is revoked already is no error. The answer is the
/// token.
struct revoke_token {
  std::int64_t id = 0;
  asker by = {};
};

/// The token whose secret has this hash, and the day of its use is noted; errc::not_found.
struct find_token {
  std::string hash;
};
struct found_token {
  std::int64_t id = 0;
  std::string name;
  role may = role::viewer;
  std::vector<std::string> queues; ///< empty: all
  token_standing standing = token_standing::live;
  std::optional<std::chrono::milliseconds> left; ///< until it expires; none: it does not
};

} // namespace troupe
