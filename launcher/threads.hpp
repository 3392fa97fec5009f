// One way to start a thread: named for debuggers, and with every signal blocked so that only the
// main thread ever sees one.
#pragma once

#include <functional>
#include <thread>

namespace troupe {

/// `name` is cut to 15 characters, as Linux does.
std::thread start_thread(const char* name, std::function<void()> body);

} // namespace troupe
