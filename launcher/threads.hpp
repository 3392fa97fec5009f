// One way to start a thread: named for debuggers, and with every signal blocked so that only the
// main thread ever sees one.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>

namespace troupe {

/// `name` is cut to 15 characters, as Linux does.
std::thread start_thread(const char* name, std::function<void()> body);

/// As many as wanted; with 0 one per core, at least two.
std::size_t threads_or_cores(int wanted);

} // namespace troupe
