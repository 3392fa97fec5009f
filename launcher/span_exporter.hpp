// Sends spans to a collector, by OTLP over HTTP: a thread of its own, since libcurl's simple
// interface blocks, and nobody who makes spans may. Bounded: spans kept, spans in one request, the
// time of a request and of the end. One request at a time.
#pragma once

#include "launcher/span_encoding.hpp"
#include "messages/counters.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace troupe {

struct span_exporter_options {
  std::string endpoint; ///< http:// or https://, without a query
  std::string ca_file;  ///< PEM, in place of the system's authorities; empty: these
  std::vector<std::pair<std::string, std::string>> headers;
  span_resource resource;
  double sample_ratio = 1; ///< see span_sink
  /// Spans kept, those on their way included; further ones are dropped.
  std::size_t max_kept = 2048;
  /// In one request, which is sent when there are so many, or a second after the first.
  std::size_t max_batch = 512;
  std::chrono::milliseconds linger{1000};
  /// Of one request.
  std::chrono::milliseconds request_time{10'000};
  /// Before a request that failed is tried again, doubled each time up to the longest.
  std::chrono::milliseconds first_pause{1000};
  std::chrono::milliseconds longest_pause{30'000};
};

class span_exporter : public span_sink {
public:
  /// The counters must outlive it.
  span_exporter(span_exporter_options options, engine_counters& counters);
  /// As stop(), with two seconds at most.
  ~span_exporter() override;
  span_exporter(const span_exporter&) = delete;
  span_exporter& operator=(const span_exporter&) = delete;

  void add(std::vector<span> ended) override;
  std::size_t room() const override { return options_.max_kept - kept_; }
  void lose(std::size_t count) override { counters_.spans_dropped_full += count; }
  /// Sends what is there, each part once, within the limit; drops the rest and what comes later.
  void stop(std::chrono::milliseconds limit);

private:
  class connection;
  using clock = std::chrono::steady_clock;

  void run();
  std::vector<span> next_batch();
  void deliver(const std::vector<span>& batch);
  bool wait_before_retry(std::chrono::milliseconds pause);
  bool out_of_time() const;

  const span_exporter_options options_;
  engine_counters& counters_;
  std::unique_ptr<connection> connection_;
  mutable std::mutex guard_;
  std::condition_variable changed_;
  std::deque<span> waiting_;
  std::atomic<std::size_t> kept_{0}; ///< waiting, and on their way; changed under the guard
  std::optional<clock::time_point> deadline_;
  std::thread thread_;
};

} // namespace troupe
