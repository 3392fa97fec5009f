// What a crawl, a benchmark or an operation on many jobs says of itself while it runs: a bar that
// is drawn over itself on a terminal, a plain line now and then elsewhere. The texts are pure
// functions; the terminal is the caller's.
#pragma once

#include <cstdint>
#include <string>

namespace troupe::cli {

struct crawl_view {
  std::int64_t pages = 0; ///< discovered so far; grows while the crawl goes on
  std::int64_t fetched = 0;
  std::int64_t failed = 0;
  std::int64_t bytes = 0;
  double seconds = 0; ///< of this run
  double rate = 0;    ///< pages per second of this run
};

struct bench_view {
  std::string doing; ///< "run", "removed"
  std::int64_t done = 0;
  std::int64_t jobs = 0;
  double seconds = 0; ///< since the first of them
};

struct bulk_view {
  std::string action;
  std::int64_t changed = 0;
  std::int64_t skipped = 0;
  double share = 0;   ///< of the jobs that were there, 0 to 1, have been looked at
  double seconds = 0; ///< that took
};

/// One line of at most `width` columns. Parts that do not fit are left out, the counts last.
std::string bar_line(const crawl_view& view, int width);
/// "340 of 1168 pages, 3 failed, 12.3 MB, 113.5 pages/s".
std::string plain_line(const crawl_view& view);
/// The same of a benchmark.
std::string bar_line(const bench_view& view, int width);
/// "340 of 1168 jobs run, 113.5/s".
std::string plain_line(const bench_view& view);
/// Of an operation, with how long the rest would take.
std::string bar_line(const bulk_view& view, int width);

/// Columns of the terminal on standard error; 0 when it is none, or one that cannot go back in a
/// line.
int terminal_width();

} // namespace troupe::cli
