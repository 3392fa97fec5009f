// How requests went, by route: written and read on the loop's thread only. Series are bounded by
// the table of routes and the statuses that the server gives.
#pragma once

#include "http/router.hpp"
#include "messages/database_metrics.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

namespace troupe::http {

/// Why a request or a connection came no further than the door. Each stands for the statuses that
/// mean it.
enum class rejection : std::uint8_t {
  malformed,       ///< 400, 417, 501, 505: no request of HTTP/1.1 that is understood here
  unauthenticated, ///< 401
  forbidden,       ///< 403
  no_route,        ///< 404
  wrong_method,    ///< 405
  too_slow,        ///< 408
  too_large,       ///< 413, 414, 431
  wrong_type,      ///< 415
  wrong_host,      ///< 421
  throttled,       ///< 429
  draining,        ///< 503
  no_room,         ///< 503: all connections hold as many bytes as they may, or answers their half
  connections,     ///< an address has as many as it may
  other,
};
inline constexpr std::array<std::string_view, 14> rejections{
    "malformed", "unauthenticated", "forbidden",   "no_route",   "wrong_method",
    "too_slow",  "too_large",       "wrong_type",  "wrong_host", "throttled",
    "draining",  "no_room",         "connections", "other"};
rejection rejection_of(int status);

class request_metrics {
public:
  /// Null: it came to none.
  void answered(const route* by, int status, std::chrono::nanoseconds took) {
    by_answer_[{by, status}].record(took);
  }
  void rejected(rejection why) { ++rejected_[static_cast<std::size_t>(why)]; }

  const std::map<std::pair<const route*, int>, latency_histogram>& by_answer() const {
    return by_answer_;
  }
  const std::array<std::uint64_t, rejections.size()>& rejected() const { return rejected_; }
  /// Gauge: how many there are is asked when it is told. Empty: 0.
  void count_streams(std::function<std::size_t()> open) { streams_ = std::move(open); }
  std::size_t event_streams() const { return streams_ ? streams_() : 0; }
  /// The same of the bytes that connections hold.
  void count_bytes(std::function<std::size_t()> held) { bytes_ = std::move(held); }
  std::size_t held_bytes() const { return bytes_ ? bytes_() : 0; }

private:
  std::map<std::pair<const route*, int>, latency_histogram> by_answer_;
  std::array<std::uint64_t, rejections.size()> rejected_{};
  std::function<std::size_t()> streams_;
  std::function<std::size_t()> bytes_;
};

} // namespace troupe::http
