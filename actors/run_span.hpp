// The span that a run is in its job's trace. Pure but for the randomness of ids.
#pragma once

#include "actors/job_report.hpp"
#include "messages/span.hpp"

#include <memory>

namespace troupe {

/// The run's traceparent, which was that of who put the job in, becomes its own. Of a job without a
/// trace the run begins one, as begin_trace() has it.
void begin_span(assignment& run, double sample_ratio);

/// Of a run that begin_span() has seen. Null when it did not run, or its trace is not sampled. The
/// outcome is not known yet: `result` says whether it failed.
std::shared_ptr<span> span_of_run(const job_report& told, const job_result& result);

} // namespace troupe
