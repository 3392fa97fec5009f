// The bar's text at several widths.
#include "cli/progress_bar.hpp"
#include "cli/text.hpp"

#include <boost/test/unit_test.hpp>

#include <clocale>
#include <string>

using namespace troupe::cli;

namespace {
const crawl_view half{1000, 490, 10, 12'345'678, 65, 7.69};
const bench_view some{"run", 250, 1000, 2};
const bulk_view most{"cancel", 3000, 20, 0.75, 90};
} // namespace

BOOST_AUTO_TEST_CASE(a_wide_terminal_gets_everything) {
  BOOST_TEST(bar_line(half, 120)
             == "[####################....................] 500/1000 pages  50%  10 failed  7.7/s  "
                "12.3 MB  1:05");
}

BOOST_AUTO_TEST_CASE(no_width_is_ever_exceeded) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  for (int width = 1; width < 130; ++width) {
    BOOST_TEST(display_width(bar_line(half, width)) <= width);
    BOOST_TEST(display_width(bar_line(some, width)) <= width);
    BOOST_TEST(display_width(bar_line(most, width)) <= width);
  }
}

BOOST_AUTO_TEST_CASE(a_narrow_terminal_gets_the_counts) {
  BOOST_TEST(bar_line(half, 20) == "500/1000 pages  50%");
}

BOOST_AUTO_TEST_CASE(nothing_found_yet_is_no_division_by_zero) {
  BOOST_TEST(bar_line(crawl_view{}, 60).find(" 0/0 pages  0%") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(more_done_than_known_stays_within_the_bar) {
  BOOST_TEST(bar_line(crawl_view{10, 20, 0, 0, 1, 1}, 80).find("100%") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_plain_line_names_all_figures) {
  BOOST_TEST(plain_line(half) == "500 of 1000 pages, 10 failed, 12.3 MB, 7.7 pages/s");
}

BOOST_AUTO_TEST_CASE(a_benchmark_says_how_many_jobs_and_how_fast) {
  BOOST_TEST(bar_line(some, 120)
             == "[##########..............................] 250/1000 jobs run  25%  125.0/s  0:02");
  BOOST_TEST(plain_line(some) == "250 of 1000 jobs run, 125.0/s");
  BOOST_TEST(plain_line(bench_view{"stored", 0, 10, 0}) == "0 of 10 jobs stored, 0.0/s");
}

BOOST_AUTO_TEST_CASE(an_operation_says_how_long_the_rest_takes_once_that_is_known) {
  BOOST_TEST(
      bar_line(most, 120)
      == "[##############################..........] cancel: 3000 changed  75%  20 passed by  "
         "0:30 left");
  BOOST_TEST(bar_line(bulk_view{"retry", 0, 0, 0, 0}, 60)
             == "[....................................] retry: 0 changed  0%");
}
