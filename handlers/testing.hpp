// Kinds for trying Troupe and for its tests: `noop`, `echo` (the result is the args), `sleep`
// ({"ms":n}, holds no thread, ends at once when stopped) and `fail` ({"times":n,"message":"..."}:
// fails while the attempt is at most n). Present in `dev` and with `--test-kinds`.
#pragma once

#include "messages/handler.hpp"
#include "messages/io_loop.hpp"

namespace troupe {

/// The loop must outlive the runs.
void add_test_kinds(handler_table& kinds, io_loop& loop);

} // namespace troupe
