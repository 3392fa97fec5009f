// The options of bench: what each measurement takes, and what it does not.
#include "cli/bench_settings.hpp"
#include "tests/cli/parsed.hpp"
#include "tests/cli/set_variable.hpp"
#include "tests/support/says.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(without_options_each_measures_as_many_as_it_says) {
  const auto drain = good({"bench", "drain"});
  BOOST_TEST((drain.what == command::bench_drain));
  BOOST_TEST(*drain.bench.jobs == 100'000);
  BOOST_TEST(drain.bench.batch == 1000);
  BOOST_TEST(drain.bench.slots == 64);
  BOOST_TEST(drain.bench.work_us == 0);
  BOOST_TEST(drain.bench.limit == 300);
  BOOST_TEST(drain.engine.node == "bench");
  BOOST_TEST(*good({"bench", "enqueue"}).bench.jobs == 100'000);
  BOOST_TEST(*good({"bench", "latency"}).bench.jobs == 500);
  BOOST_TEST(!good({"bench", "latency"}).bench.by_sql);
}

BOOST_AUTO_TEST_CASE(what_is_given_is_taken) {
  const set_variable url("DATABASE_URL", "postgresql:///x");
  const auto drain =
      good({"bench", "drain", "--jobs", "10000000", "--batch", "10000", "--slots", "8", "--work-us",
            "20", "--workers", "3", "--timeout", "0.5", "--keep", "--json", "--data-dir", "d"});
  BOOST_TEST(*drain.bench.jobs == 10'000'000);
  BOOST_TEST(drain.bench.batch == 10'000);
  BOOST_TEST(drain.bench.slots == 8);
  BOOST_TEST(drain.bench.work_us == 20);
  BOOST_TEST(drain.engine.worker_threads == 3);
  BOOST_TEST(drain.bench.limit == 0.5);
  BOOST_TEST(drain.bench.keep);
  BOOST_TEST(drain.json);
  BOOST_TEST(drain.engine.data_dir.front() == '/');
  BOOST_TEST(drain.engine.database_url == "postgresql:///x");
  BOOST_TEST(good({"bench", "latency", "--by", "sql"}).bench.by_sql);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused) {
  for (const auto* jobs : {"0", "10000001", "-1", "many"})
    BOOST_TEST(says(bad({"bench", "drain", "--jobs", jobs}), "--jobs"), jobs);
  BOOST_TEST(says(bad({"bench", "latency", "--jobs", "1000001"}), "--jobs"));
  BOOST_TEST(says(bad({"bench", "enqueue", "--batch", "10001"}), "--batch"));
  BOOST_TEST(says(bad({"bench", "drain", "--slots", "0"}), "--slots"));
  BOOST_TEST(says(bad({"bench", "drain", "--work-us", "-1"}), "--work-us"));
  BOOST_TEST(says(bad({"bench", "drain", "--timeout", "nan"}), "--timeout"));
  BOOST_TEST(says(bad({"bench", "latency", "--by", "sq"}), "did you mean sql?"));
}

BOOST_AUTO_TEST_CASE(what_belongs_to_another_measurement_is_refused) {
  BOOST_TEST(says(bad({"bench"}), "drain, enqueue, latency"));
  BOOST_TEST(says(bad({"bench", "drian"}), "did you mean drain?"));
  BOOST_TEST(says(bad({"bench", "latency", "--batch", "1"}), "no option --batch"));
  BOOST_TEST(says(bad({"bench", "enqueue", "--work-us", "1"}), "no option --work-us"));
  BOOST_TEST(says(bad({"bench", "drain", "--by", "sql"}), "no option --by"));
  BOOST_TEST(says(bad({"bench", "drain", "--listen", "127.0.0.1:0"}), "no option --listen"));
}
