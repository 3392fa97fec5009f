#include "messages/span.hpp"

#include "messages/utf8.hpp"

namespace troupe {

namespace {

/// Bytes.
constexpr std::size_t max_failure = 1024;

} // namespace

span span_of_run(trace_context self, std::string parent, const run_identity& run,
                 std::chrono::nanoseconds took) {
  using time = std::chrono::system_clock;
  span out;
  out.self = std::move(self);
  out.parent = std::move(parent);
  out.name = "run " + run.kind;
  out.kind = span_kind::consumer;
  out.end = time::now();
  out.start = out.end - std::chrono::duration_cast<time::duration>(took);
  out.attributes = {{"messaging.system", std::string{"troupe"}},
                    {"messaging.destination.name", run.queue},
                    {"troupe.job.id", run.id.value},
                    {"troupe.job.kind", run.kind},
                    {"troupe.job.attempt", std::int64_t{run.attempt}}};
  return out;
}

void fail_span(span& of, std::string_view error) {
  of.failed = true;
  of.failure = cut_utf8(error, max_failure);
}

void conclude_span(span& of_run, run_end how) {
  of_run.attributes.emplace_back("troupe.outcome",
                                 std::string{run_ends.at(static_cast<std::size_t>(how))});
}

} // namespace troupe
