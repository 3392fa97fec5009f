#include "http/work_spans.hpp"

#include "http/sha256.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace troupe::http {

namespace {

void append_number(std::string& to, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    to += static_cast<char>(value >> static_cast<unsigned>(shift));
}

std::uint64_t number_at(const digest256& from, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = at; i < at + 8; ++i)
    value = value << 8U | from.at(i);
  return value;
}

/// The session's hash is random, so that no two databases make the same of their small numbers.
digest256 digest_of(const work_session& by, lease_id lease, job_id job, int attempt) {
  std::string text = by.hash;
  append_number(text, static_cast<std::uint64_t>(lease.value));
  append_number(text, static_cast<std::uint64_t>(job.value));
  append_number(text, static_cast<std::uint64_t>(attempt));
  return sha256(text);
}

} // namespace

std::optional<trace_context> trace_of_work(const work_session& by, lease_id lease, job_id job,
                                           int attempt, std::string_view traceparent,
                                           double sample_ratio) {
  const auto ids = digest_of(by, lease, job, attempt);
  const auto span = number_at(ids, 16);
  if (const auto asked = parse_traceparent(traceparent))
    return with_span(*asked, span);
  return begin_trace(number_at(ids, 0), number_at(ids, 8), span, sample_ratio);
}

std::vector<std::string> traces_of(const claimed_work& got, const work_session& by,
                                   double sample_ratio) {
  std::vector<std::string> out;
  out.reserve(got.jobs.size());
  for (const auto& job : got.jobs) {
    const auto own =
        trace_of_work(by, job.lease, job.id, job.attempt, job.traceparent, sample_ratio);
    out.push_back(own ? to_traceparent(*own) : std::string{});
  }
  return out;
}

ending_spans::ending_spans(const finish_work& ask) : by_(ask.by) {
  runs_.reserve(ask.runs.size());
  for (const auto& run : ask.runs) {
    auto& kept = runs_.emplace_back(ending{run.lease, run.id, run.attempt, {}});
    if (run.result.kind == job_result::verdict::failed
        || run.result.kind == job_result::verdict::discarded)
      kept.error = run.result.error;
  }
}

std::vector<span> ending_spans::ended(const finished_work& done, double sample_ratio) const {
  std::vector<span> out;
  for (const auto& told : done.told) {
    const auto run = std::find_if(runs_.begin(), runs_.end(),
                                  [&](const ending& one) { return one.id == told.id; });
    if (run == runs_.end())
      continue;
    auto self =
        trace_of_work(by_, run->lease, run->id, run->attempt, told.traceparent, sample_ratio);
    if (!self || !self->sampled())
      continue;
    const auto asked = parse_traceparent(told.traceparent);
    auto& made =
        out.emplace_back(span_of_run(*std::move(self), asked ? asked->span_id : std::string{},
                                     {run->id, run->attempt, told.queue, told.kind}, told.took));
    if (run->error)
      fail_span(made, *run->error);
    conclude_span(made, told.how);
  }
  return out;
}

} // namespace troupe::http
