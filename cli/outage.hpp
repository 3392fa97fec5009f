// A server that is away while a command follows something.
#pragma once

#include "cli/exit_code.hpp"

#include <chrono>

namespace troupe::cli {

/// Borne for a minute since the last answer. One that never answered is not.
class outage {
public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds longest{60};

  void heard(clock::time_point now = clock::now()) {
    heard_ = now;
    ever_ = true;
  }
  /// To ask again makes sense.
  bool bears(const command_error& why, clock::time_point now = clock::now()) const {
    const bool passes = why.code() == exit_code::unavailable || why.code() == exit_code::timed_out;
    return passes && is_short(now);
  }
  bool is_short(clock::time_point now = clock::now()) const {
    return ever_ && now - heard_ <= longest;
  }

private:
  clock::time_point heard_;
  bool ever_ = false;
};

} // namespace troupe::cli
