// Runs by queue and kind: nothing uncounted, and never more series than the bounds say.
#include "messages/run_metrics.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace troupe;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(runs_are_counted_by_queue_and_kind_while_others_read) {
  run_metrics runs;
  std::atomic<bool> enough{false};
  std::size_t seen = 0;
  std::thread reader{[&] {
    while (!enough)
      for (std::size_t i = 0; i < runs.size(); ++i)
        seen += runs[i].queue.size() + runs[i].ends[0].load();
  }};
  for (int i = 0; i < 1000; ++i)
    runs.of("q" + std::to_string(i % 10), "k" + std::to_string(i % 4)).ended(run_end::retried, 2ms);
  enough = true;
  reader.join();
  BOOST_TEST(runs.size() == 20U);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < runs.size(); ++i)
    sum += runs[i].ends[static_cast<std::size_t>(run_end::retried)];
  BOOST_TEST(sum == 1000U);
}

BOOST_AUTO_TEST_CASE(there_are_never_more_series_than_the_bounds_and_nothing_is_left_uncounted) {
  run_metrics runs;
  for (int i = 0; i < 3000; ++i)
    runs.of("q" + std::to_string(i % 600), "k" + std::to_string(i)).ended(run_end::completed, 1us);
  runs.of("other", "other").ended(run_end::completed, 1us);
  BOOST_TEST(runs.size() == run_metrics::max_pairs + run_metrics::max_others + 1);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < runs.size(); ++i)
    sum += runs[i].ends[0];
  BOOST_TEST(sum == 3001U);
  BOOST_TEST(&runs.of("q0", "k0") != &runs.of("q0", "never"));
  BOOST_TEST(runs.of("q250", "never").kind == "other");
  BOOST_TEST(runs.of("q250", "never").queue == "q250");
  BOOST_TEST(runs.of("q599", "never").queue == "other");
}
