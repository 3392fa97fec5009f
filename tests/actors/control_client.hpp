// A client of its own, with one plain connection and no actors: the longest that it had to wait for
// a commit is what the machine and PostgreSQL took from everybody, which is nobody's fault here.
#pragma once

#include "db/query.hpp"
#include "tests/support/await.hpp"
#include "tests/support/drive.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <thread>

namespace troupe::tests {

class control_client {
public:
  using clock = std::chrono::steady_clock;

  explicit control_client(std::string url)
      : thread_([this, at = std::move(url)](const std::stop_token& over) { run(at, over); }) {}

  /// Ends it.
  clock::duration longest() {
    thread_.request_stop();
    thread_.join();
    return longest_;
  }

private:
  void run(const std::string& url, const std::stop_token& over) {
    static const db::statement commits{"control",
                                       "select pg_logical_emit_message(true, 'control', '')"};
    std::optional<db::connection> on;
    auto answered = clock::now();
    while (!over.stop_requested()) {
      try {
        if (!on)
          on.emplace(connect(url));
        rows(*on, db::query{commits});
        longest_ = std::max(longest_, clock::now() - answered);
        answered = clock::now();
      } catch (const std::exception&) {
        on.reset();
      }
      await_until([&] { return over.stop_requested(); }, std::chrono::milliseconds{10});
    }
    longest_ = std::max(longest_, clock::now() - answered);
  }

  clock::duration longest_{0};
  std::jthread thread_; ///< last: it uses the rest
};

} // namespace troupe::tests
