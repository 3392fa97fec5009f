// What `troupe top` shows of two readings: a frame of any size, a plain text, one JSON object.
// Pure.
#pragma once

#include "cli/terminal.hpp"
#include "cli/top_reading.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

/// The columns of queues, as they stand and may be sorted by.
enum class top_column : std::uint8_t {
  queue,
  waiting,
  running,
  retrying,
  scheduled,
  failed,
  in_rate,
  done_rate,
  fail_rate,
};
inline constexpr int top_columns = 9;
/// "queue", "waiting", ..., "in/s".
std::string_view name_of(top_column column);
/// The names of all, in order.
std::vector<std::string> top_column_names();
top_column read_top_column(std::string_view name);

struct top_order {
  top_column by = top_column::queue;
  bool descending = false;

  /// Numbers largest first, names from A.
  static top_order usual(top_column column) { return {column, column != top_column::queue}; }
  /// The column so many to the right.
  top_order moved(int steps) const;
};

/// Jobs per second of one queue, or of all, between two readings.
struct queue_rates {
  double in = 0;   ///< put in
  double done = 0; ///< completed
  double failed = 0;
};

/// One entry for each queue of `now`. What was deleted in between makes them smaller, never
/// negative. Empty when no time has passed.
std::vector<queue_rates> rates_between(const top_reading& before, const top_reading& now);

struct top_input {
  const top_reading* now = nullptr;
  const top_reading* before = nullptr; ///< null: no rates yet
  top_order order;
  std::string url;
  std::string notice; ///< "paused", or why there is nothing newer
};

/// At most `size.rows` lines of at most `size.columns`.
std::vector<screen_line> top_frame(const top_input& input, terminal_size size);
/// All queues and jobs, lines of at most `columns`; 0: as long as they get.
std::string top_text(const top_input& input, int columns);
std::string top_json(const top_input& input);

} // namespace troupe::cli
