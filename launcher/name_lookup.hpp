// Host names to addresses, beside the loop: the system's resolver blocks for as long as its servers
// keep silent. Bounds: two lookups at a time, 64 that wait; further ones fail.
#pragma once

#include "launcher/side_threads.hpp"
#include "messages/io_loop.hpp"

#include <functional>
#include <string>

namespace troupe {

class name_lookup {
public:
  static constexpr int max_threads = 2;
  static constexpr std::size_t max_waiting = 64;
  using answer = std::function<void(resolution)>;
  /// What blocks; tests have their own.
  using resolver = std::function<resolution(const std::string&)>;

  explicit name_lookup(resolver blocking = ask_system) : blocking_(std::move(blocking)) {}

  /// Calls back on some thread, once, unless stop() comes first.
  void start(const std::string& host, answer callback);
  /// Nobody is called any more, except by a callback that has begun.
  void stop() { threads_.stop(); }

  static resolution ask_system(const std::string& host);

private:
  resolver blocking_;
  side_threads threads_{"troupe-names", {max_threads, max_waiting}};
};

} // namespace troupe
