// Kinds for trying Troupe and for its tests: `noop`, `echo` (the result is the args), `sleep`
// ({"ms":n}, holds no thread, ends at once when stopped), `fail` ({"times":n,"message":"..."}:
// fails while the attempt is at most n), `effect` (a sleep that leaves lines in a file) and
// `trouble` (handlers/trouble.hpp). Present in `dev` and with `--test-kinds`.
#pragma once

#include "messages/handler.hpp"
#include "messages/io_loop.hpp"

#include <filesystem>

namespace troupe {

/// What the kinds need; loop and workers must outlive the runs.
struct test_context {
  io_loop& loop;
  worker_pool& workers;
  /// Where `effect` appends a line at its begin and one at its end, whatever the engine makes of
  /// them: "begin|end|stopped JOB ATTEMPT PID MONOTONIC_NS". Made with the first one.
  std::filesystem::path effects;
};

void add_test_kinds(handler_table& kinds, const test_context& context);

} // namespace troupe
