// Host names to addresses, on threads of their own: the system's resolver blocks for as long as its
// servers keep silent. Used by the loop. Bounds: two lookups at a time, 64 that wait; further ones
// fail. A lookup in progress cannot be ended, so its thread is left alone at stop() and ends by
// itself, touching nothing.
#pragma once

#include "messages/io_loop.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe {

class name_lookup {
public:
  static constexpr int max_threads = 2;
  static constexpr std::size_t max_waiting = 64;
  using answer = std::function<void(resolution)>;
  /// What blocks; tests have their own.
  using resolver = std::function<resolution(const std::string&)>;

  explicit name_lookup(resolver blocking = ask_system);
  name_lookup(const name_lookup&) = delete;
  name_lookup& operator=(const name_lookup&) = delete;
  ~name_lookup();

  /// Calls back on some thread, once, unless stop() comes first.
  void start(std::string host, answer callback);
  /// Nobody is called any more, except by a callback that has begun.
  void stop();

  static resolution ask_system(const std::string& host);

private:
  struct state;
  std::shared_ptr<state> state_;
};

} // namespace troupe
