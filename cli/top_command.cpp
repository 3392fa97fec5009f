// top: what the queues and the running jobs do, drawn over and over on a terminal; once elsewhere.
#include "cli/commands.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "cli/text.hpp"
#include "cli/top_gatherer.hpp"
#include "cli/top_view.hpp"

#include <thread>
#include <unistd.h>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds interval_of(const invocation& wanted) {
  return std::chrono::milliseconds{static_cast<std::int64_t>(wanted.top.interval * 1000)};
}

exit_code run_once(const invocation& wanted) {
  http_client server(wanted.client);
  run_notes notes;
  const auto before = read_server(server, notes, wanted.top.queue);
  std::this_thread::sleep_for(interval_of(wanted)); // rates need two readings
  const auto now = read_server(server, notes, wanted.top.queue);
  const auto by = read_top_column(wanted.top.sort);
  const top_input input{&now, &before, top_order::usual(by), without_password(wanted.client.url),
                        ""};
  print(wanted.json ? top_json(input)
                    : top_text(input, can_redraw() ? size_of_terminal().columns : 0));
  return exit_code::ok;
}

class live_view {
public:
  explicit live_view(const invocation& wanted)
      : wanted_(wanted), order_(top_order::usual(read_top_column(wanted.top.sort))) {}

  exit_code run() {
    // Before the screen is taken: where no server is, that is all there is to say.
    http_client server(wanted_.client);
    run_notes notes;
    latest_.now = std::make_shared<top_reading>(read_server(server, notes, wanted_.top.queue));
    top_gatherer gatherer(wanted_.client, interval_of(wanted_), wanted_.top.queue, latest_.now);
    full_screen screen;
    while (true) {
      screen.draw(frame());
      const auto happened = screen.wait(1h, gatherer.ready());
      if (happened.signal != 0)
        return exit_code::interrupted;
      for (const auto& pressed : happened.keys) {
        if (pressed.what == key::character
            && (pressed.character == 'q' || pressed.character == 'Q'))
          return exit_code::ok;
        take(pressed, gatherer);
      }
      auto latest = gatherer.take();
      if (!paused_)
        latest_ = std::move(latest);
    }
  }

private:
  void take(const key_press& pressed, top_gatherer& gatherer) {
    switch (pressed.what) {
    case key::right:
    case key::tab:
      order_ = order_.moved(1);
      break;
    case key::left:
    case key::back_tab:
      order_ = order_.moved(-1);
      break;
    case key::up:
      order_.descending = false;
      break;
    case key::down:
      order_.descending = true;
      break;
    case key::character:
      if (pressed.character == 'p') {
        paused_ = !paused_;
        gatherer.pause(paused_);
      }
      break;
    }
  }

  std::vector<screen_line> frame() const {
    const top_input input{latest_.now.get(), latest_.before.get(), order_,
                          without_password(wanted_.client.url),
                          paused_                   ? "paused; p goes on"
                          : latest_.trouble.empty() ? ""
                                                    : "not up to date: " + latest_.trouble};
    return top_frame(input, size_of_terminal());
  }

  const invocation& wanted_;
  top_gatherer::latest latest_;
  top_order order_;
  bool paused_ = false;
};

} // namespace

exit_code run_top(const invocation& wanted) {
  exit_on_interrupt();
  if (wanted.top.once || wanted.json || !can_redraw() || ::isatty(STDIN_FILENO) == 0)
    return run_once(wanted);
  return live_view{wanted}.run();
}

} // namespace troupe::cli
