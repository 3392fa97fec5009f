// For functions that spawn actors from a thread that is not CAF's. 0.17.6 leaves a reference to the
// system's logger in every thread that spawns, and ~actor_system waits until all of them are gone:
// one living thread is enough to hang the shutdown.
#pragma once

#include <caf/logger.hpp>

namespace troupe {

/// Declare before the first spawn of a scope; drops this thread's reference at its end.
struct foreign_thread {
  foreign_thread() = default;
  foreign_thread(const foreign_thread&) = delete;
  foreign_thread& operator=(const foreign_thread&) = delete;
  ~foreign_thread() { caf::logger::set_current_actor_system(nullptr); }
};

} // namespace troupe
