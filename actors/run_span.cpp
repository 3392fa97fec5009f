#include "actors/run_span.hpp"

#include "messages/utf8.hpp"

#include <random>

namespace troupe {

namespace {

/// Of an error's text; the whole of it is in the job's history.
constexpr std::size_t max_failure = 1024;

std::uint64_t new_span_id() {
  thread_local std::mt19937_64 random = [] {
    std::random_device seed;
    return std::mt19937_64{static_cast<std::uint64_t>(seed()) << 32U | seed()};
  }();
  return random();
}

} // namespace

void begin_span(assignment& run) {
  const auto asked = parse_traceparent(run.run->traceparent);
  if (!asked)
    return;
  run.trace_parent = asked->span_id;
  run.run->traceparent = to_traceparent(with_span(*asked, new_span_id()));
}

std::shared_ptr<span> span_of_run(const job_report& told, const job_result& result) {
  if (told.run.trace_parent.empty() || !told.ran)
    return nullptr;
  const auto& run = *told.run.run;
  const auto self = parse_traceparent(run.traceparent);
  if (!self || !self->sampled())
    return nullptr;
  auto out = std::make_shared<span>();
  out->self = *self;
  out->parent = told.run.trace_parent;
  out->name = "run " + run.kind;
  out->kind = span_kind::consumer;
  out->end = std::chrono::system_clock::now();
  out->start = out->end
               - std::chrono::duration_cast<std::chrono::system_clock::duration>(told.finished
                                                                                 - told.started);
  out->failed =
      result.kind == job_result::verdict::failed || result.kind == job_result::verdict::discarded;
  if (out->failed)
    out->failure = cut_utf8(result.error, max_failure);
  out->attributes = {{"messaging.system", std::string{"troupe"}},
                     {"messaging.destination.name", run.queue},
                     {"troupe.job.id", run.id.value},
                     {"troupe.job.kind", run.kind},
                     {"troupe.job.attempt", std::int64_t{run.attempt}}};
  return out;
}

void conclude_span(span& made, run_end how) {
  made.attributes.emplace_back("troupe.outcome",
                               std::string{run_ends.at(static_cast<std::size_t>(how))});
}

} // namespace troupe
