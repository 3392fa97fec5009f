// export: a text of any length from a running server to a file or to standard output, as it comes.
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/output_file.hpp"
#include "cli/progress_bar.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <chrono>
#include <cstdio>
#include <optional>

namespace troupe::cli {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds redraw{200};

std::string path_of(const invocation& wanted) {
  auto path = "/api/v1/jobs." + wanted.exported.format;
  char before = '?';
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value)
      path += std::exchange(before, '&') + (name + ("=" + http_client::escaped(*value)));
  };
  add("state", wanted.list.state);
  add("queue", wanted.list.queue);
  add("kind", wanted.list.kind);
  return path;
}

/// One line on a terminal, drawn over itself.
class drawn_progress {
public:
  drawn_progress() = default;
  void add(std::size_t bytes) {
    bytes_ += static_cast<std::int64_t>(bytes);
    const auto now = steady::now();
    if (shown_ && now - drawn_ >= redraw) {
      drawn_ = now;
      const std::chrono::duration<double> spent = now - begun_;
      std::fprintf(stderr, "\r\x1b[K%s in %s", bytes_text(bytes_).c_str(),
                   duration_text(spent.count()).c_str());
      std::fflush(stderr);
    }
  }
  ~drawn_progress() {
    if (shown_)
      std::fputs("\r\x1b[K", stderr);
  }
  drawn_progress(const drawn_progress&) = delete;
  drawn_progress& operator=(const drawn_progress&) = delete;

private:
  bool shown_ = terminal_width() > 0;
  std::int64_t bytes_ = 0;
  steady::time_point begun_ = steady::now();
  steady::time_point drawn_ = begun_;
};

} // namespace

exit_code run_export(const invocation& wanted) {
  http_client server(wanted.client);
  const auto& out = wanted.exported.out;
  if (out.empty()) {
    exit_on_interrupt();
    server.download(path_of(wanted), [](std::string_view bytes) { print(std::string{bytes}); });
    return exit_code::ok;
  }
  const signal_watch signals; // an interrupted one leaves nothing either
  growing_output file(out);
  drawn_progress progress;
  server.download(path_of(wanted), [&](std::string_view bytes) {
    if (signals.signal() != 0)
      throw command_error(exit_code::interrupted, "interrupted; nothing was kept");
    file.write(bytes);
    progress.add(bytes.size());
  });
  file.finish();
  return exit_code::ok;
}

} // namespace troupe::cli
