// jobs watch: asks again and again until the jobs have ended. To stop looking changes nothing.
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/job_watch.hpp"
#include "cli/look_pause.hpp"
#include "cli/outage.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

namespace troupe::cli {

namespace {

using steady = std::chrono::steady_clock;

class watching {
public:
  explicit watching(const invocation& wanted)
      : wanted_(wanted), server_(wanted.client), jobs_(wanted.ids) {}

  exit_code run() {
    if (wanted_.wait_limit) {
      const std::chrono::duration<double> limit{*wanted_.wait_limit};
      end_ = began_ + std::chrono::duration_cast<steady::duration>(limit);
      server_.give_up_after(limit);
    }
    while (true) {
      const bool last = end_ && steady::now() >= *end_;
      const bool changed = look();
      const auto left = jobs_.left();
      if (left.empty())
        return jobs_.verdict();
      if (last)
        throw command_error(exit_code::timed_out,
                            std::to_string(left.size()) + " of the jobs have not ended yet");
      auto pause = steady::duration{pause_.after(changed)};
      if (end_)
        pause = std::clamp(*end_ - steady::now(), steady::duration{0}, pause);
      std::this_thread::sleep_for(pause);
    }
  }

private:
  /// True when something has changed.
  bool look() {
    bool changed = false;
    for (const auto& id : jobs_.left()) {
      const bool news = ask(id);
      changed = changed || news;
      if (news && !in_place_)
        print(wanted_.json ? jobs_.object(id) + "\n" : jobs_.sentence(id) + "\n");
    }
    if (in_place_ && (changed || !drawn_)) {
      const auto size = size_of_terminal();
      print(lines_.show(jobs_.lines(size.rows - 1, size.columns)));
      drawn_ = true;
    }
    return changed;
  }

  bool ask(const std::string& id) {
    try {
      const auto answer = server_.request("GET", "/api/v1/jobs/" + id);
      away_.heard();
      return jobs_.take(id, answer.body);
    } catch (const command_error& e) {
      if (e.code() == exit_code::not_found) {
        jobs_.lose(id);
        if (!in_place_)
          complain("job " + id + " is not there: " + e.what());
        drawn_ = false;
      } else if (!away_.bears(e)) {
        throw;
      }
    }
    return false;
  }

  const invocation& wanted_;
  http_client server_;
  job_watch jobs_;
  look_pause pause_{look_pause::watching};
  const bool in_place_ = !wanted_.json && can_redraw();
  redrawn_lines lines_;
  bool drawn_ = false;
  const steady::time_point began_ = steady::now();
  outage away_;
  std::optional<steady::time_point> end_;
};

} // namespace

exit_code run_jobs_watch(const invocation& wanted) {
  exit_on_interrupt();
  return watching{wanted}.run();
}

} // namespace troupe::cli
