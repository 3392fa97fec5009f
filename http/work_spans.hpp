// The spans of runs of workers by HTTP. A run's begins with the claim that hands it out and is
// exported with the finish that ends it, which may be at another node: so its ids are made of what
// both requests show, by SHA-256, and nothing is kept meanwhile. Pure.
#pragma once

#include "messages/span.hpp"
#include "messages/work.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

/// The run's own span: in the trace of its job, or else the begin of one, as begin_trace() has it.
std::optional<trace_context> trace_of_work(const work_session& by, lease_id lease, job_id job,
                                           int attempt, std::string_view traceparent,
                                           double sample_ratio);

/// What each claimed job's worker goes on with; empty: nothing.
std::vector<std::string> traces_of(const claimed_work& got, const work_session& by,
                                   double sample_ratio);

/// What a finish says of its runs, kept until it is answered.
class ending_spans {
public:
  explicit ending_spans(const finish_work& ask);
  /// Of what `done` tells as far as it is sampled.
  std::vector<span> ended(const finished_work& done, double sample_ratio) const;

private:
  struct ending {
    lease_id lease;
    job_id id;
    int attempt;
    std::optional<std::string> error; ///< none: it did not fail
  };
  work_session by_;
  std::vector<ending> runs_;
};

} // namespace troupe::http
