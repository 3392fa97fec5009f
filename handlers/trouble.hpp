// The test kind `trouble` ({"how":"...","ms":n}): handlers as bad as they come. What a run answers
// is none of what a result may be, it comes twice or never, or it takes its time and does not
// listen.
#pragma once

#include "messages/handler.hpp"

namespace troupe {

/// `block` and `spin` hold a thread of the pool for "ms", whoever asks them to stop; the pool must
/// outlive the runs.
async_handler make_trouble(worker_pool& workers);

} // namespace troupe
