// What the engine's options say to the actors.
#include "db/migrate.hpp"
#include "launcher/cast_options.hpp"
#include "messages/crawl.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

struct translating {
  engine_options options;
  database_metrics metrics;
  cast_options out() { return cast_options_of(options, "postgresql://u@h/x", metrics); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(options_of_the_cast, translating)

BOOST_AUTO_TEST_CASE(half_of_the_connections_are_kept_unless_it_is_said) {
  options.database.max_connections = 5;
  BOOST_TEST(out().pool.max_size == 5U);
  BOOST_TEST(out().pool.min_size == 3U);
  BOOST_TEST(metrics.limit.load() == 5U);
  options.database.min_connections = 1;
  BOOST_TEST(out().pool.min_size == 1U);
  BOOST_TEST((out().pool.metrics == &metrics));
  options.database.min_connections = 0;
  for (const int most : {1, 2, 3}) { // one for claims, one for outcomes
    options.database.max_connections = most;
    BOOST_TEST(out().pool.min_size == (most == 1 ? 1U : 2U));
  }
}

BOOST_AUTO_TEST_CASE(pages_have_as_many_slots_as_there_are_fetches_unless_their_queue_is_named) {
  options.fetches = 7;
  options.slots = 3;
  options.queues = {{"mail", 2}};
  BOOST_TEST(out().executor.queues.at(page_queue) == 7);
  BOOST_TEST(out().executor.queues.at("troupe.exports") == 1);
  BOOST_TEST(out().executor.queues.at("mail") == 2);
  BOOST_TEST(out().executor.default_slots == 3);
  options.queues[page_queue] = 0;
  BOOST_TEST(out().executor.queues.at(page_queue) == 0);
}

BOOST_AUTO_TEST_CASE(the_node_and_its_schema_are_those_of_this_program) {
  options.node = "n1";
  options.stuck_after = 5s;
  BOOST_TEST(out().executor.prefetch == queue_slots::max_prefetch); // the same default twice
  options.prefetch = 6;
  BOOST_TEST(out().executor.prefetch == 6);
  BOOST_TEST(out().pulse.node_name == "n1");
  BOOST_TEST((out().executor.stuck_after == 5s));
  BOOST_TEST(out().health.limits.schema_version == db::migrations().back().number);
}

BOOST_AUTO_TEST_CASE(nobody_listens_through_a_pooler) {
  BOOST_TEST(out().notifier.has_value());
  BOOST_TEST(out().health.limits.listens);
  BOOST_TEST((out().notifier->metrics == &metrics));
  options.database.pooler = true;
  BOOST_TEST(!out().notifier.has_value());
  BOOST_TEST(!out().health.limits.listens);
}

BOOST_AUTO_TEST_SUITE_END()
