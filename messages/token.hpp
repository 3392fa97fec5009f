// Bearer tokens as the database keeps them: never the secret.
#pragma once

#include "messages/job.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

enum class token_standing : std::uint8_t { live, expired, revoked };

struct token_record {
  std::int64_t id = 0;
  std::string name;
  std::string hint;                ///< how the secret begins
  std::string role;                ///< viewer, producer, worker, operator or admin
  std::vector<std::string> queues; ///< empty: all; never of an admin
  timestamp created_at;
  std::optional<timestamp> expires_at; ///< none: never
  std::optional<timestamp> revoked_at;
  std::optional<std::chrono::sys_days> last_used_on; ///< UTC
  token_standing standing = token_standing::live;    ///< when the database was asked
};

} // namespace troupe
