// Commits whose answer is lost, on a server of the test's own: what became of them is looked up by
// the transaction's number, and is unknown without one.
#include "tests/launcher/session_fixture.hpp"
#include "tests/support/own_server.hpp"

#include <atomic>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// Commits wait: locally done, for a standby that never comes.
struct waiting_commits {
  own_server server;
  temp_dir folder;
  std::optional<engine> node;

  waiting_commits() {
    server.exec("create table note (text text)");
    server.exec("create table slow (text text)");
    server.exec("create function nap() returns trigger language plpgsql as "
                "$$ begin perform pg_sleep(300); return null; end $$");
    server.exec("create constraint trigger nap after insert on slow deferrable initially deferred "
                "for each row execute function nap()");
    server.exec("alter role postgres set synchronous_commit = local");
    server.exec("alter system set synchronous_standby_names = 'nobody'");
    server.exec("select pg_reload_conf()");
    engine_options options;
    options.database_url = server.url();
    options.data_dir = folder.path().string();
    node.emplace(options);
    node->start();
  }
  ~waiting_commits() {
    BOOST_CHECK(await_until([&] { return node->database().lent == 0U; }));
    node->stop();
  }
  void kill_who_waits(const std::string& how) const {
    BOOST_REQUIRE(await_until(
        [&] { return server.value("select count(*) from pg_stat_activity where " + how) == "1"; }));
    server.exec("select pg_terminate_backend(pid) from pg_stat_activity where " + how);
  }
};

const std::string for_standby = "wait_event = 'SyncRep'";
const std::string in_trigger = "wait_event = 'PgSleep'";

} // namespace

BOOST_FIXTURE_TEST_SUITE(lost_commits, waiting_commits)

BOOST_AUTO_TEST_CASE(one_that_happened_is_found_to_have_happened) {
  auto work = node->open_session();
  work.query("set local synchronous_commit = on").ignore();
  work.query("insert into note values ('x')").get();
  auto end = work.commit();
  kill_who_waits(for_standby);
  BOOST_TEST(code_of(std::move(end)) == errc::none);
  BOOST_TEST(server.value("select count(*) from note") == "1");
  work.query("insert into note values ('y')").get(); // and the session goes on
  static_cast<void>(work.commit().get());
}

BOOST_AUTO_TEST_CASE(one_that_did_not_happen_is_found_not_to_have_happened) {
  auto work = node->open_session();
  work.query("insert into slow values ('x')").get();
  auto end = work.commit();
  kill_who_waits(in_trigger);
  BOOST_TEST(code_of(std::move(end)) == errc::unavailable);
  BOOST_TEST(code_of(work.query("select 1")) == errc::aborted);
  BOOST_TEST(server.value("select count(*) from slow") == "0");
}

BOOST_AUTO_TEST_CASE(one_without_a_number_is_unknown) {
  auto holder = node->open_session();
  holder.query("select pg_advisory_xact_lock(7)").get();
  auto work = node->open_session();
  work.query("select pg_advisory_xact_lock(7)").ignore();
  // Gathered while the lock is waited for, and sent together: the number, which a transaction has
  // from its first write, is not asked for in between.
  work.query("set local synchronous_commit = on").ignore();
  work.query("insert into note values ('x')").ignore();
  auto end = work.commit();
  holder.rollback().get();
  kill_who_waits(for_standby);
  BOOST_TEST(code_of(std::move(end)) == errc::outcome_unknown);
  BOOST_TEST(server.value("select count(*) from note") == "1");
}

BOOST_AUTO_TEST_CASE(the_transaction_of_an_unknown_one_is_not_run_again) {
  std::atomic<int> tries{0};
  session_options options;
  options.resolve = false;
  auto end = node->run_transaction(
      [&](session& work) -> pending<void> {
        ++tries;
        work.query("set local synchronous_commit = on").ignore();
        work.query("insert into note values ('x')").ignore();
        co_return;
      },
      options);
  kill_who_waits(for_standby);
  BOOST_TEST(code_of(std::move(end)) == errc::outcome_unknown);
  BOOST_TEST(tries == 1);
  BOOST_TEST(server.value("select count(*) from note") == "1");
}

BOOST_AUTO_TEST_SUITE_END()
