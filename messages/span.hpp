// One span of a trace, that of a job's run, and where spans go. Values, and an interface that
// launcher/span_exporter.hpp implements.
#pragma once

#include "messages/job.hpp"
#include "messages/run_metrics.hpp"
#include "messages/trace.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// The numbers are OTLP's.
enum class span_kind : std::uint8_t { server = 2, consumer = 5 };

struct span {
  using value = std::variant<std::string, std::int64_t>;

  trace_context self;
  std::string parent; ///< 16 hexadecimal digits; empty: it begins the trace
  std::string name;
  span_kind kind = span_kind::server;
  std::chrono::system_clock::time_point start;
  std::chrono::system_clock::time_point end;
  bool failed = false;
  std::string failure;                                        ///< for a person; may be empty
  std::vector<std::pair<std::string_view, value>> attributes; ///< names are literals
};

/// Which run a span is of.
struct run_identity {
  job_id id;
  int attempt = 1;
  std::string queue;
  std::string kind;
};
/// The span of a run that has ended just now. What became of it is not known yet.
span span_of_run(trace_context self, std::string parent, const run_identity& run,
                 std::chrono::nanoseconds took);
/// Of its error's text so much is kept; the whole of it is in the job's history.
void fail_span(span& of, std::string_view error);
void conclude_span(span& of_run, run_end how);

/// Called from any thread; never waits for anybody's answer, and drops what it has no room for.
class span_sink {
public:
  /// Of the traces that begin here so many are sampled: 0 (then none begins) to 1.
  explicit span_sink(double sample_ratio = 1) : sample_ratio_(sample_ratio) {}
  virtual ~span_sink() = default;
  virtual void add(std::vector<span> ended) = 0;
  /// So many would be kept now. Who has more to tell need not make them, and tells lose() instead.
  virtual std::size_t room() const = 0;
  virtual void lose(std::size_t count) = 0;
  double sample_ratio() const { return sample_ratio_; }

private:
  const double sample_ratio_;
};

} // namespace troupe
