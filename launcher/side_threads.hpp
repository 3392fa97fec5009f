// What blocks for as long as somebody else keeps silent, on threads of its own: the system's
// resolver, libpq's cancel. Used by the loop. Bounds: so many at a time, and so many that wait.
// What is in progress cannot be ended, so its thread is left alone at stop() and ends by itself,
// touching nothing of ours.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

class side_threads {
public:
  struct bounds {
    int threads = 2;
    std::size_t waiting = 64;
  };

  /// `name` is that of its threads; see start_thread.
  side_threads(const char* name, bounds most);
  side_threads(const side_threads&) = delete;
  side_threads& operator=(const side_threads&) = delete;
  ~side_threads();

  /// Does what blocks, and then calls back on some thread, once, unless stop() comes first. Else
  /// why it cannot be, in words.
  std::optional<std::string> run(std::function<void()> blocking, std::function<void()> then);
  /// Nobody is called any more, except by a callback that has begun.
  void stop();

private:
  struct state;
  std::shared_ptr<state> state_;
};

} // namespace troupe
