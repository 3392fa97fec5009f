// Which threads must never wait: those of the actors and of the I/O loop. Whoever starts such a
// thread says so once; what would block asks before it does.
#pragma once

#include "messages/engine_error.hpp"

#include <string>

namespace troupe {

/// Names this thread when waiting on it is forbidden; null elsewhere.
inline thread_local const char* never_blocks = nullptr;

/// Throws engine_error (errc::conflict) on a thread that must not wait.
inline void require_blocking_thread(const std::string& what) {
  if (never_blocks != nullptr)
    throw engine_error(errc::conflict,
                       what + " would block " + never_blocks + "; use then() or co_await there");
}

} // namespace troupe
