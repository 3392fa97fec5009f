// Questions about the end of history: JANITOR asks them of STORE.
#pragma once

#include <cstdint>
#include <string>

namespace troupe {

/// One step of dropping history that is past its age (docs/retention.md).
struct expire_jobs {};
struct expired_jobs {
  std::string step;         ///< as troupe.expire_jobs says; empty: there is nothing to be done
  std::int64_t low = 0;     ///< where the partition begins
  std::int64_t dropped = 0; ///< jobs
  std::int64_t kept = 0;    ///< jobs that were moved, or are in the way
};

} // namespace troupe
