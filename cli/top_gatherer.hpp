// Readings of a server one after the other, in a thread of their own: the terminal answers at once,
// whatever the server does.
#pragma once

#include "cli/http_client.hpp"
#include "cli/options.hpp"
#include "cli/top_reading.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace troupe::cli {

/// Asks for all of one reading: 6 requests where runs are short, and up to 10 more. Throws
/// command_error. Of one `queue` only, if it is named: then nothing that a token for that queue may
/// not ask, so that nodes and health are left out.
top_reading read_server(http_client& server, run_notes& notes, const std::string& queue);

class top_gatherer {
public:
  /// `first`: a reading that was taken before.
  top_gatherer(const client_settings& client, std::chrono::milliseconds interval, std::string queue,
               std::shared_ptr<const top_reading> first);
  /// A request that is on its way is given up, which takes up to a second.
  ~top_gatherer();
  top_gatherer(const top_gatherer&) = delete;
  top_gatherer& operator=(const top_gatherer&) = delete;

  /// Can be read when there is something new.
  int ready() const { return ready_; }

  struct latest {
    std::shared_ptr<const top_reading> now;
    std::shared_ptr<const top_reading> before; ///< null: `now` is the first
    std::string trouble;                       ///< why there is nothing newer; or empty
  };
  latest take();
  /// While paused the server is left alone.
  void pause(bool paused);

private:
  void run();
  /// False when it is time to end.
  bool await_turn();

  const client_settings client_;
  const std::chrono::milliseconds interval_;
  const std::string queue_;
  std::mutex guard_;
  std::condition_variable changed_;
  latest latest_;
  bool paused_ = false;
  std::atomic<bool> ending_{false};
  int ready_ = -1;
  std::thread thread_;
};

} // namespace troupe::cli
