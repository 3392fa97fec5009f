// What a benchmark's handler counts: each job once, or what is wrong.
#include "cli/run_ledger.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>
#include <vector>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(each_job_once_is_what_is_wanted) {
  run_ledger runs{3};
  for (const std::size_t job : {2, 0, 1})
    runs.add(job);
  BOOST_TEST(runs.total().each_once());
}

BOOST_AUTO_TEST_CASE(a_job_that_never_ran_is_noticed) {
  run_ledger runs{3};
  runs.add(0);
  BOOST_TEST(runs.total().never == 2U);
  BOOST_TEST(!runs.total().each_once());
}

BOOST_AUTO_TEST_CASE(a_job_that_ran_again_is_noticed_however_often) {
  run_ledger runs{2};
  for (int i = 0; i < 257; ++i) // as many as a byte counts, and one
    runs.add(0);
  runs.add(1);
  const auto total = runs.total();
  BOOST_TEST(total.never == 0U);
  BOOST_TEST(total.again == 1U);
  BOOST_TEST(!total.each_once());
}

BOOST_AUTO_TEST_CASE(a_job_that_there_is_not_is_noticed) {
  run_ledger runs{1};
  runs.add(0);
  runs.add(1);
  BOOST_TEST(runs.total().others == 1U);
  BOOST_TEST(!runs.total().each_once());
}

BOOST_AUTO_TEST_CASE(it_begins_anew) {
  run_ledger runs{1};
  runs.add(0);
  runs.add(9);
  runs.forget();
  BOOST_TEST(runs.total().never == 1U);
  runs.add(0);
  BOOST_TEST(runs.total().each_once());
}

BOOST_AUTO_TEST_CASE(many_threads_lose_no_run) {
  constexpr std::size_t jobs = 10'000;
  run_ledger runs{jobs};
  std::vector<std::jthread> threads;
  for (std::size_t offset = 0; offset < 4; ++offset)
    threads.emplace_back([&runs, offset] {
      for (std::size_t job = 0; job < jobs; ++job)
        if (job % 4 == offset || job % 5 == 0)
          runs.add(job);
    });
  threads.clear();
  BOOST_TEST(runs.total().never == 0U);
  BOOST_TEST(runs.total().again == jobs / 5);
}
