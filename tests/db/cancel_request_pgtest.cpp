// A word to the server over another connection: what the connection is at ends, and nothing after
// it.
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace troupe;
using namespace troupe::tests;

namespace {

const db::statement sleeping{"sleeping", "select 1 from pg_sleep(60)"};
const db::statement number{"number", "select 7::int8"};

} // namespace

BOOST_AUTO_TEST_CASE(what_a_connection_is_at_is_ended_and_it_serves_on) {
  test_database database{test_database::content::empty};
  auto on = connect(database.url());
  for (int round = 0; round < 20; ++round) {
    on.submit(db::query{sleeping});
    on.flush();
    BOOST_REQUIRE(await_until([&] {
      return database.value("select wait_event from pg_stat_activity where pid = "
                            + std::to_string(on.backend_pid()))
             == "PgSleep";
    }));
    const auto word = on.to_cancel();
    BOOST_REQUIRE(word);
    bool sent = false;
    std::jthread{[&] { sent = word->send(); }}.join();
    BOOST_TEST(sent);
    const auto told = answers(on, 1);
    const auto* why = std::get_if<db::db_failure>(&told.at(0).outcome);
    BOOST_REQUIRE(why != nullptr);
    BOOST_TEST(why->sqlstate == "57014");
    BOOST_TEST(word->send()); // nothing is there to be ended, and nothing will be
    BOOST_TEST(rows(on, db::query{number}).one().get<std::int64_t>(0) == 7);
  }
}

BOOST_AUTO_TEST_CASE(it_outlives_its_connection_and_meets_nobody_then) {
  test_database database{test_database::content::empty};
  std::shared_ptr<const db::cancel_request> word;
  {
    auto gone = connect(database.url());
    word = gone.to_cancel();
  }
  word->send();
  auto other = connect(database.url());
  BOOST_TEST(rows(other, db::query{number}).one().get<std::int64_t>(0) == 7);
}

BOOST_AUTO_TEST_CASE(behind_a_pooler_there_is_none) {
  test_database database{test_database::content::empty};
  db::connect_options options;
  options.url = database.url();
  options.pooler = true;
  BOOST_TEST(!connect(options).to_cancel());
}
