// The span that a run is in its job's trace. Pure but for the randomness of ids.
#pragma once

#include "actors/job_report.hpp"
#include "messages/run_metrics.hpp"
#include "messages/span.hpp"

#include <memory>

namespace troupe {

/// The run's traceparent, which was that of who put the job in, becomes its own. Of a job without a
/// trace nothing changes.
void begin_span(assignment& run);

/// Null when the run is none, or its trace is not sampled. The outcome is not known yet: `result`
/// says whether it failed.
std::shared_ptr<span> span_of_run(const job_report& told, const job_result& result);

/// With what became of it.
void conclude_span(span& made, run_end how);

} // namespace troupe
