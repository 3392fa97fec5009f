#include "cli/signals.hpp"

#include "cli/exit_code.hpp"
#include "launcher/threads.hpp"

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <system_error>
#include <unistd.h>

namespace troupe::cli {

namespace {

int checked(int fd, const char* what) {
  if (fd < 0)
    throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

constexpr int interrupted = static_cast<int>(exit_code::interrupted);

} // namespace

signal_watch::signal_watch() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&watched, number);
  pthread_sigmask(SIG_BLOCK, &watched, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  signals_ = checked(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  ending_ = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  thread_ = start_thread("signals",
                         [this, signals = signals_, ending = ending_] { watch(signals, ending); });
}

signal_watch::~signal_watch() {
  ::eventfd_write(ending_, 1);
  thread_.join();
  ::close(signals_);
  ::close(ending_);
}

void signal_watch::watch(int signals, int ending) {
  while (true) {
    pollfd both[2] = {{signals, POLLIN, 0}, {ending, POLLIN, 0}};
    if (::poll(both, 2, -1) < 0 && errno != EINTR)
      return;
    if (both[1].revents != 0)
      return;
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info)
      continue;
    if (info.ssi_signo == SIGHUP) {
      const std::lock_guard lock(hangup_guard_);
      if (hangup_) {
        hangup_();
        continue;
      }
    }
    // Nothing is cleaned up: the database is consistent whenever we end.
    if (first_ != 0)
      ::_exit(interrupted);
    {
      const std::lock_guard lock(guard_);
      first_ = static_cast<int>(info.ssi_signo);
    }
    came_.notify_all();
  }
}

void signal_watch::wait() {
  std::unique_lock lock(guard_);
  came_.wait(lock, [this] { return first_ != 0; });
}

bool signal_watch::wait_for(std::chrono::milliseconds limit) {
  std::unique_lock lock(guard_);
  return came_.wait_for(lock, limit, [this] { return first_ != 0; });
}

void signal_watch::on_hangup(std::function<void()> act) {
  const std::lock_guard lock(hangup_guard_);
  hangup_ = std::move(act);
}

namespace {
std::atomic<bool> line_is_drawn{false};
} // namespace

void empty_line_on_interrupt(bool drawn) {
  line_is_drawn = drawn;
}

void exit_on_interrupt() {
  std::signal(SIGINT, [](int) {
    constexpr std::string_view empty = "\r\x1b[K"; // also over the ^C that the terminal wrote
    if (line_is_drawn)
      static_cast<void>(::write(STDERR_FILENO, empty.data(), empty.size()));
    ::_exit(interrupted);
  });
}

} // namespace troupe::cli
