// The bridge for synchronous code: it works, it says that it should not be used, and it refuses to
// run where a thread must not wait.
#include "launcher/blocking_session.hpp"
#include "messages/log.hpp"
#include "tests/launcher/session_fixture.hpp"

#include <mutex>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(blocking_sessions, session_fixture)

BOOST_AUTO_TEST_CASE(its_calls_wait_for_their_answers) {
  start();
  blocking_session work{node->sessions()};
  work.begin();
  work.add({.kind = "noop"});
  work.savepoint("part");
  work.query("insert into note (text) values ('lost')");
  work.rollback_to("part");
  work.release("part");
  work.query("insert into note (text) values ($1)", std::string_view{"kept"});
  BOOST_TEST(work.flush().added.size() == 1U);
  const auto id = work.commit().added.at(0);
  BOOST_TEST(database.value("select string_agg(text, ',') from note") == "kept");
  BOOST_TEST(node->wait(id, 60s).state == job_state::completed);
  BOOST_TEST(work.refresh(id).id == id);
  work.rollback();
}

BOOST_AUTO_TEST_CASE(it_warns_once_for_each_place_that_calls_it) {
  start();
  static std::mutex guard;
  static std::vector<std::string> told;
  log::set_sink([](log::level, std::string_view who, std::string_view text) {
    const std::lock_guard lock(guard);
    if (who == "blocking_session")
      told.emplace_back(text);
  });
  for (int i = 0; i < 3; ++i) {
    blocking_session work{node->sessions()};
    work.query("select $1", 1);
    work.rollback();
  }
  log::set_sink({});
  const std::lock_guard lock(guard);
  BOOST_TEST(told.size() == 3U);
  for (const auto& one : told)
    BOOST_TEST(one.find("blocking_session_pgtest.cpp:") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(it_refuses_to_run_on_an_actors_thread) {
  start([](engine& made) {
    made.handle_async("blocks", [&made](const job_run_ptr&, const completion& done) {
      blocking_session work{made.sessions()};
      done(completed());
    });
  });
  const auto job = node->wait(node->enqueue({.kind = "blocks", .max_attempts = 1}), 60s);
  BOOST_TEST(job.attempts.at(0).error.find("would block an actor's thread") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
