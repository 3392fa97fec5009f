#include "cli/drain_wait.hpp"

#include "cli/commands.hpp"
#include "cli/look_pause.hpp"
#include "cli/outage.hpp"
#include "cli/queue_view.hpp"

#include <chrono>
#include <thread>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// Between two lines that say how many still run.
constexpr auto line_every = 2s;

} // namespace

std::string wait_until_idle(http_client& server, const std::string& path, std::string shown,
                            drained_words words, const invocation& wanted) {
  const auto so_far = "the " + std::string{words.what} + " is " + words.state;
  const auto began = steady::now();
  if (wanted.wait_limit)
    server.give_up_after(std::chrono::duration<double>(*wanted.wait_limit));
  auto said = began - line_every;
  std::int64_t told = -1;
  outage away;
  away.heard();
  look_pause pause{look_pause::waiting};
  for (auto running = running_of(shown); running > 0; running = running_of(shown)) {
    if (!wanted.json && running != told && steady::now() - said >= line_every) {
      tell(words.state + ("; " + std::to_string(running)) + " still running");
      told = running;
      said = steady::now();
    }
    if (wanted.wait_limit
        && steady::now() - began >= std::chrono::duration<double>(*wanted.wait_limit))
      throw command_error(exit_code::timed_out, so_far + ", and " + std::to_string(running)
                                                    + " of its jobs are still running");
    std::this_thread::sleep_for(pause.after(false));
    try {
      shown = server.request("GET", path).body;
      away.heard();
    } catch (const command_error& e) {
      if (!away.bears(e))
        throw command_error(e.code(),
                            so_far + ", and it is not known what still runs: " + e.what());
    }
  }
  return shown;
}

} // namespace troupe::cli
