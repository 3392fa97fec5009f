// Who asks for a change, as it is written down with the change (docs/security.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace troupe {

struct asker {
  std::string who = {};                   ///< a token's name, or anyone; empty: nothing is written
  std::optional<std::int64_t> token = {}; ///< its id
  std::string request_id = {};
};

} // namespace troupe
