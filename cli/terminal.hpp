// The terminal that a command draws on. Nothing here knows what is drawn.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <termios.h>
#include <vector>

namespace troupe::cli {

struct terminal_size {
  int rows = 24;
  int columns = 80;
};

/// True when somebody looks at standard output: a terminal, unless --plain is given.
bool is_for_person();
/// Likewise, and it is a terminal that can go back to what it has drawn.
bool can_redraw();
/// Of standard output; what a terminal usually has when it does not say.
terminal_size size_of_terminal();

/// Lines on standard output that are drawn over by the next ones.
class redrawn_lines {
public:
  /// The text that goes back over the lines before, and shows these. No longer than the terminal is
  /// wide, each.
  std::string show(const std::vector<std::string>& lines);

private:
  std::size_t shown_ = 0;
};

struct screen_line {
  std::string text; ///< printable, no wider than the screen
  bool title = false;
};

enum class key : std::uint8_t { character, up, down, left, right, tab, back_tab };
struct key_press {
  key what = key::character;
  char character = 0; ///< of key::character
};

/// The keys whose bytes are complete; what may go on stays in `bytes`. Sequences that mean none of
/// them are passed over.
std::vector<key_press> take_keys(std::string& bytes);

/// What the terminal is sent so that it shows these lines and nothing else.
std::string screen_text(const std::vector<screen_line>& lines);

/// The whole terminal, as long as it lives: the alternate screen without a cursor, keys at once and
/// not echoed. What was there before comes back with the destructor, and before a signal that stops
/// or kills the process does so. Made before any other thread, so that all inherit the mask.
class full_screen {
public:
  /// Throws std::system_error when standard input or output is no terminal.
  full_screen();
  ~full_screen();
  full_screen(const full_screen&) = delete;
  full_screen& operator=(const full_screen&) = delete;

  struct events {
    std::vector<key_press> keys;
    bool resized = false; ///< or shown again after the process was stopped
    int signal = 0;       ///< that asks for the end: SIGINT, SIGTERM, SIGHUP, SIGQUIT; or 0
  };
  /// Until something happens on the terminal, or `also` can be read, or the time is over.
  events wait(std::chrono::milliseconds limit, int also);
  void draw(const std::vector<screen_line>& lines);

private:
  void enter();
  void leave();
  void take_signals(events& into);

  termios before_{};
  sigset_t mask_{};
  int signals_ = -1;
  std::string bytes_;
};

} // namespace troupe::cli
