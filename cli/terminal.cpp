#include "cli/terminal.hpp"

#include "cli/talk.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <poll.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <system_error>
#include <unistd.h>

namespace troupe::cli {

namespace {

constexpr std::string_view enter_text = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
constexpr std::string_view leave_text = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::array deadly{SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

/// For what may be done in the handler of a signal that kills.
termios to_restore; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

bool write_all(std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::write(STDOUT_FILENO, text.data(), text.size());
    if (sent < 0 && errno != EINTR)
      return false;
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
  return true;
}

void restore_and_die(int number) {
  write_all(leave_text);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &to_restore);
  ::raise(number); // SA_RESETHAND: this time it kills
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

} // namespace

bool is_for_person() {
  return ::isatty(STDOUT_FILENO) != 0 && !manner_in_use().plain;
}

bool can_redraw() {
  const char* term = std::getenv("TERM");
  return is_for_person() && term != nullptr && *term != '\0' && std::string_view{term} != "dumb";
}

terminal_size size_of_terminal() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return {};
  return {size.ws_row, size.ws_col};
}

std::string redrawn_lines::show(const std::vector<std::string>& lines) {
  std::string out;
  if (shown_ > 0)
    out = "\x1b[" + std::to_string(shown_) + "F\x1b[J";
  for (const auto& line : lines)
    out += line + "\n";
  shown_ = lines.size();
  return out;
}

std::vector<key_press> take_keys(std::string& bytes) {
  std::vector<key_press> out;
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (bytes[at] != '\x1b') {
      const char c = bytes[at++];
      out.push_back(c == '\t' ? key_press{key::tab} : key_press{key::character, c});
      continue;
    }
    // ESC [ or ESC O, parameters, a final letter.
    if (at + 1 < bytes.size() && bytes[at + 1] != '[' && bytes[at + 1] != 'O') {
      at += 1;
      continue;
    }
    auto end = at + 2;
    while (end < bytes.size() && (bytes[end] < '@' || bytes[end] > '~'))
      ++end;
    if (end >= bytes.size())
      break;
    switch (bytes[end]) {
    case 'A':
      out.push_back({key::up});
      break;
    case 'B':
      out.push_back({key::down});
      break;
    case 'C':
      out.push_back({key::right});
      break;
    case 'D':
      out.push_back({key::left});
      break;
    case 'Z':
      out.push_back({key::back_tab});
      break;
    default:
      break;
    }
    at = end + 1;
  }
  bytes.erase(0, at);
  constexpr std::size_t longest_sequence = 32;
  if (bytes.size() > longest_sequence)
    bytes.clear();
  return out;
}

std::string screen_text(const std::vector<screen_line>& lines) {
  std::string out = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    out += i == 0 ? "" : "\r\n";
    out += lines[i].title ? "\x1b[7m" + lines[i].text + "\x1b[0m\x1b[K" : lines[i].text + "\x1b[K";
  }
  return out + "\x1b[J";
}

full_screen::full_screen() {
  if (::tcgetattr(STDIN_FILENO, &before_) != 0)
    fail("standard input is no terminal");
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP})
    sigaddset(&watched, number);
  ::pthread_sigmask(SIG_BLOCK, &watched, &mask_);
  signals_ = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0)
    fail("signalfd");
  to_restore = before_;
  struct sigaction action {};
  action.sa_handler = restore_and_die;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : deadly)
    ::sigaction(number, &action, nullptr);
  enter();
}

full_screen::~full_screen() {
  leave();
  for (const int number : deadly)
    ::signal(number, SIG_DFL);
  ::close(signals_);
  ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
}

void full_screen::enter() {
  auto raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  write_all(enter_text);
}

void full_screen::leave() {
  write_all(leave_text);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void full_screen::take_signals(events& into) {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    const auto number = static_cast<int>(info.ssi_signo);
    if (number == SIGTSTP) {
      leave();
      ::raise(SIGSTOP);
      enter();
      into.resized = true;
    } else if (number == SIGWINCH) {
      into.resized = true;
    } else {
      into.signal = number;
    }
  }
}

full_screen::events full_screen::wait(std::chrono::milliseconds limit, int also) {
  events out;
  std::array<pollfd, 3> watched{
      {{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}, {also, POLLIN, 0}}};
  if (::poll(watched.data(), watched.size(), static_cast<int>(limit.count())) <= 0)
    return out;
  if (watched[1].revents != 0)
    take_signals(out);
  if (watched[0].revents != 0) {
    std::array<char, 256> chunk{};
    const auto size = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (size > 0)
      bytes_.append(chunk.data(), static_cast<std::size_t>(size));
    else if (watched[0].revents & (POLLHUP | POLLERR | POLLNVAL))
      out.signal = SIGHUP; // nobody is there any more
    out.keys = take_keys(bytes_);
  }
  return out;
}

void full_screen::draw(const std::vector<screen_line>& lines) {
  auto shown = lines;
  if (manner_in_use().no_colour)
    for (auto& line : shown)
      line.title = false;
  write_all(screen_text(shown));
}

} // namespace troupe::cli
