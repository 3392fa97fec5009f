// What became of an idempotency key. The numbers are the database's (troupe.open_requests).
#pragma once

#include <cstdint>

namespace troupe {

/// What an idempotency key did for its request.
enum class key_use : std::uint8_t {
  none = 0,
  first = 1,
  replayed = 2, ///< the answer is the one of the first time
  refused = 3,  ///< the key belongs to another request: nothing was stored
};

} // namespace troupe
