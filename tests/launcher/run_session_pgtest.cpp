// The transaction of a job's run: effects, follow-up jobs and the completion commit together, once.
#include "tests/launcher/session_fixture.hpp"

#include <atomic>
#include <latch>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(runs_with_sessions, session_fixture)

BOOST_AUTO_TEST_CASE(effects_follow_up_jobs_and_the_completion_commit_together) {
  std::atomic<int> seen_outside{-1};
  start([&](engine& made) {
    made.handle("pay", [&](const job_run& run) {
      auto& work = session_of(run);
      work.query("update account set amount = amount - 10 where id = 1").get();
      work.query("update account set amount = amount + 10 where id = 2").ignore();
      work.add({.kind = "echo", .args = "\"paid\""});
      seen_outside = std::stoi(database.value("select amount from account where id = 1"));
      return completed("{\"paid\":10}");
    });
  });
  const auto id = node->enqueue({.kind = "pay"});
  const auto job = node->wait(id, 60s);
  BOOST_TEST(job.state == job_state::completed);
  BOOST_TEST(job.attempts.at(0).result == R"({"paid": 10})");
  BOOST_TEST(seen_outside == 100);
  BOOST_TEST(database.value("select string_agg(amount::text, ',' order by id) from account")
             == "90,110");
  // (The attempt is written in a subtransaction, which has a number of its own.)
  BOOST_TEST(database.value("select count(distinct x) from (select xmin::text x from account union "
                            "select xmin::text from troupe.job where kind = 'echo') t")
             == "1");
  BOOST_TEST(await_until([&] { return count("troupe.attempt") == "2"; }));
  BOOST_TEST(await_until([&] { return count("troupe.lease") == "0"; }));
  // The database has it a moment before the node knows.
  BOOST_TEST(await_until([&] { return node->counters().attempts_completed == 2U; }));
}

BOOST_AUTO_TEST_CASE(a_failed_run_leaves_nothing_but_its_attempt) {
  std::atomic<int> runs{0};
  start([&](engine& made) {
    made.handle("pay", [&](const job_run& run) {
      auto& work = session_of(run);
      work.query("update account set amount = amount - 10 where id = 1").get();
      work.add({.kind = "echo"});
      work.flush().ignore();
      ++runs;
      if (run.attempt == 1)
        throw std::runtime_error("went wrong");
      if (run.attempt == 2) {
        auto later = failed("not yet");
        later.retry_in = 1ms;
        return later;
      }
      return completed();
    });
  });
  const auto id = node->enqueue({.kind = "pay"});
  const auto job = node->wait(id, 60s);
  BOOST_TEST(job.state == job_state::completed);
  BOOST_REQUIRE(job.attempts.size() == 3U);
  BOOST_TEST(job.attempts[0].error == "went wrong");
  BOOST_TEST(database.value("select amount from account where id = 1") == "90");
  BOOST_TEST(database.value("select count(*) from troupe.job where kind = 'echo'") == "1");
}

BOOST_AUTO_TEST_CASE(a_savepoint_around_a_part_that_fails_keeps_the_jobs_own_state) {
  start([&](engine& made) {
    made.handle("import", [&](const job_run& run) {
      auto& work = session_of(run);
      for (int i = 0; i < 3; ++i) {
        savepoint_scope part{work, "row"};
        try {
          work.query("insert into account values ($1, 1)", std::int64_t{i + 2}).get();
          part.release().get();
        } catch (const engine_error& e) {
          work.query("insert into note (text) values ($1)", to_string(e.code())).ignore();
        }
      }
      return completed();
    });
  });
  const auto job = node->wait(node->enqueue({.kind = "import"}), 60s);
  BOOST_TEST(job.state == job_state::completed);
  BOOST_TEST(count("account") == "4");
}

BOOST_AUTO_TEST_CASE(a_call_that_failed_unheard_fails_the_run) {
  start([&](engine& made) {
    made.handle("careless", [&](const job_run& run) {
      auto& work = session_of(run);
      work.query("insert into note (text) values ('x')").ignore();
      work.query("insert into account values (1, 1)").ignore();
      return completed();
    });
  });
  const auto job = node->wait(node->enqueue({.kind = "careless", .max_attempts = 1}), 60s);
  BOOST_TEST(job.state == job_state::discarded);
  BOOST_TEST(job.attempts.at(0).error.find("its transaction was not committed") == 0U);
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(a_run_that_was_cancelled_meanwhile_changes_nothing) {
  std::latch working{1};
  std::latch cancelled{1};
  start([&](engine& made) {
    made.handle("pay", [&](const job_run& run) {
      session_of(run).query("update account set amount = 0").get();
      working.count_down();
      cancelled.wait();
      return completed();
    });
  });
  const auto id = node->enqueue({.kind = "pay"});
  working.wait();
  BOOST_TEST(node->cancel(id).state == job_state::cancelled);
  cancelled.count_down();
  BOOST_TEST(await_lent(0));
  BOOST_TEST(database.value("select sum(amount) from account") == "200");
  BOOST_TEST(node->get(id).state == job_state::cancelled);
  BOOST_TEST(rollbacks(database_metrics::rollback_cause::conflict) == 1U);
}

BOOST_AUTO_TEST_CASE(a_run_over_its_time_loses_its_transaction) {
  std::latch over{1};
  errc late = errc::none;
  std::latch told{1};
  start([&](engine& made) {
    made.handle("slow", [&](const job_run& run) {
      auto& work = session_of(run);
      // Its time may be over before this is answered; the rest has to follow all the same.
      static_cast<void>(code_of(work.query("update account set amount = 0")));
      over.wait();
      late = code_of(work.query("select 1"));
      told.count_down();
      return completed();
    });
  });
  const auto id = node->enqueue({.kind = "slow", .max_attempts = 1, .timeout = 500ms});
  const auto job = node->wait(id, 60s);
  BOOST_TEST(job.state == job_state::discarded);
  BOOST_TEST(await_lent(0));
  over.count_down();
  told.wait();
  BOOST_TEST(late == errc::stopping);
  BOOST_TEST(database.value("select sum(amount) from account") == "200");
}

BOOST_AUTO_TEST_CASE(a_handler_cannot_end_its_runs_transaction_itself) {
  errc committed = errc::none;
  start([&](engine& made) {
    made.handle("eager", [&](const job_run& run) {
      auto& work = session_of(run);
      work.query("insert into note (text) values ('x')").get();
      committed = code_of(work.commit());
      return failed("and now it fails");
    });
  });
  static_cast<void>(node->wait(node->enqueue({.kind = "eager", .max_attempts = 1}), 60s));
  BOOST_TEST(committed == errc::conflict);
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(a_coroutine_may_be_the_body_of_an_async_handler) {
  struct work {
    static pending<void> run(job_run_ptr run, completion done) {
      auto& session = session_of(*run);
      const auto found = co_await session.query("select amount from account where id = 1");
      co_await session.query("insert into note (text) values ($1)",
                             std::to_string(found.one<std::int64_t>()));
      done(completed());
    }
  };
  start([&](engine& made) {
    made.handle_async("flows", [](job_run_ptr run, completion done) {
      work::run(std::move(run), std::move(done)).ignore();
    });
  });
  std::vector<job_id> ids;
  for (int i = 0; i < 20; ++i)
    ids.push_back(node->enqueue({.kind = "flows"}));
  for (const auto id : ids)
    BOOST_TEST(node->wait(id, 60s).state == job_state::completed);
  BOOST_TEST(count("note") == "20");
}

BOOST_AUTO_TEST_CASE(waiting_on_an_actors_thread_is_refused_and_fails_the_attempt) {
  start([&](engine& made) {
    made.handle_async("blocks", [](job_run_ptr run, completion done) {
      static_cast<void>(session_of(*run).query("select 1").get());
      done(completed());
    });
  });
  const auto job = node->wait(node->enqueue({.kind = "blocks", .max_attempts = 1}), 60s);
  BOOST_TEST(job.attempts.at(0).error.find("would block an actor's thread") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
