// What a node's connections to the database are bound by, as it was started.
#pragma once

#include <chrono>
#include <cstddef>

namespace troupe {

struct pool_bounds {
  std::size_t min_connections = 0; ///< kept when nothing is to do
  std::size_t max_connections = 0;
  std::size_t max_waiting = 0; ///< callers; further ones are refused
  std::chrono::milliseconds acquire_timeout{0};
  std::chrono::milliseconds statement_timeout{0};
  std::chrono::milliseconds idle_limit{0};
  std::chrono::milliseconds max_lifetime{0};
};

} // namespace troupe
