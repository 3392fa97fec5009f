#include "actors/run_span.hpp"

#include <random>

namespace troupe {

namespace {

std::mt19937_64& random_ids() {
  thread_local std::mt19937_64 random = [] {
    std::random_device seed;
    return std::mt19937_64{static_cast<std::uint64_t>(seed()) << 32U | seed()};
  }();
  return random;
}

} // namespace

void begin_span(assignment& run, double sample_ratio) {
  auto& traceparent = run.run->traceparent;
  auto& random = random_ids();
  if (const auto asked = parse_traceparent(traceparent)) {
    run.trace_parent = asked->span_id;
    traceparent = to_traceparent(with_span(*asked, random()));
  } else if (const auto begun = begin_trace(random(), random(), random(), sample_ratio)) {
    traceparent = to_traceparent(*begun);
  }
}

std::shared_ptr<span> span_of_run(const job_report& told, const job_result& result) {
  if (!told.ran)
    return nullptr;
  const auto& run = *told.run.run;
  auto self = parse_traceparent(run.traceparent);
  if (!self || !self->sampled())
    return nullptr;
  auto out = std::make_shared<span>(span_of_run(*std::move(self), told.run.trace_parent,
                                                {run.id, run.attempt, run.queue, run.kind},
                                                told.finished - told.started));
  if (result.kind == job_result::verdict::failed || result.kind == job_result::verdict::discarded)
    fail_span(*out, result.error);
  return out;
}

} // namespace troupe
