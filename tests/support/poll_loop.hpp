// An io_loop on poll(2) with a thread of its own, for tests of what runs on the engine's loop.
// Readable in one sitting rather than fast.
#pragma once

#include "messages/io_loop.hpp"

#include <atomic>
#include <thread>
#include <vector>

namespace troupe::tests {

class poll_loop : public io_loop {
public:
  poll_loop();
  /// Stops the thread; what is posted or armed then never runs.
  ~poll_loop() override;
  poll_loop(const poll_loop&) = delete;
  poll_loop& operator=(const poll_loop&) = delete;

  void post(std::function<void()> callback) override;
  std::unique_ptr<fd_watch> watch(int fd) override;
  std::unique_ptr<io_timer> timer() override;
  /// On the loop's own thread, which waits for it.
  void resolve(std::string host, std::function<void(resolution)> callback) override;
  /// Each on a thread of its own, unless it is to fail.
  bool beside(std::function<void()> blocking, std::function<void()> then) override;

  std::atomic<bool> beside_fails = false;

  /// Runs the task on the loop's thread and waits for it.
  void run(const std::function<void()>& task);

  /// Lets the loop turn until the condition holds; false when it does not within the patience of
  /// tests/support/await.hpp.
  bool turn_until(const std::function<bool()>& condition);

  struct state;

private:
  std::shared_ptr<state> state_;
  std::thread thread_;
  std::vector<std::jthread> beside_;
};

} // namespace troupe::tests
