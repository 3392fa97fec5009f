// io_loop over Boost.Asio: one thread, one io_context, which http shares through context().
// Watches and timers may be destroyed on any thread and may outlive the loop object. Bounds: as
// many watches as the process may have descriptors.
#pragma once

#include "messages/io_loop.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <thread>

namespace troupe {

class asio_loop : public io_loop {
public:
  asio_loop();
  asio_loop(const asio_loop&) = delete;
  asio_loop& operator=(const asio_loop&) = delete;
  /// Stops. Not to be destroyed on the loop's own thread.
  ~asio_loop() override;

  /// Starts the thread, with every signal blocked in it. Once.
  void start();
  /// Ends the thread and waits for it. Callbacks that did not run are dropped, armed watches and
  /// timers closed; later calls are accepted and never called back. Harmless when repeated.
  void stop();

  boost::asio::io_context& context();
  /// True on the loop's own thread.
  bool on_loop_thread() const;

  void post(std::function<void()> callback) override;
  std::unique_ptr<fd_watch> watch(int fd) override;
  std::unique_ptr<io_timer> timer() override;
  void resolve(std::string host, std::function<void(resolution)> callback) override;
  bool beside(std::function<void()> blocking, std::function<void()> then) override;

private:
  struct core;
  std::shared_ptr<core> core_;
  std::thread thread_;
};

} // namespace troupe
