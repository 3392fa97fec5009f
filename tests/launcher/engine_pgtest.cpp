// The embedded engine from start to stop on a real database: the whole cast with real handlers.
#include "launcher/engine.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <future>
#include <thread>

using namespace std::chrono_literals;

namespace {

/// Waits for a condition, with the tests' patience.
#define AWAIT(what, ...)                                                                           \
  BOOST_REQUIRE_MESSAGE(troupe::tests::await_until(__VA_ARGS__), "in vain: " what)

struct fixture {
  troupe::tests::test_database database;
  troupe::tests::temp_dir folder;

  troupe::engine_options options() {
    troupe::engine_options out;
    out.database_url = database.url();
    out.data_dir = folder.path().string();
    out.test_kinds = true;
    out.grace = troupe::tests::patience;
    out.database.acquire_timeout = troupe::tests::patience;
    return out;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(embedded, fixture)

BOOST_AUTO_TEST_CASE(a_job_runs_and_its_result_and_attempt_are_kept) {
  troupe::engine engine{options()};
  engine.handle("double", [](const troupe::job_run& run) {
    return troupe::completed("{\"twice\":[" + run.args + "," + run.args + "]}");
  });
  engine.start();
  const auto id = engine.enqueue({.kind = "double", .queue = "math", .args = "21"});
  const auto job = engine.wait(id, 60s);
  BOOST_TEST((job.state == troupe::job_state::completed));
  BOOST_TEST(job.queue == "math");
  BOOST_REQUIRE_EQUAL(job.attempts.size(), 1u);
  BOOST_TEST(job.attempts[0].result == R"({"twice": [21, 21]})");
  BOOST_TEST(job.attempts[0].node == "node");
  BOOST_TEST((job.attempts[0].started_at <= job.attempts[0].finished_at));
  BOOST_TEST(engine.stop());
}

BOOST_AUTO_TEST_CASE(jobs_that_wait_are_edited_and_moved_and_run_where_they_are_then) {
  troupe::engine engine{options()};
  std::atomic<int> runs{0};
  engine.handle("count", [&](const troupe::job_run& run) {
    runs += run.queue == "there" ? 1 : 1000;
    return troupe::completed(run.args);
  });
  engine.start();
  engine.pause("here");
  std::vector<troupe::job_spec> specs(2500, {.kind = "count", .queue = "here"});
  const auto ids = engine.enqueue_all(specs);
  BOOST_TEST((engine.edit({.id = ids[7], .args = "7", .priority = 1}).priority == 1));
  troupe::bulk_request moving;
  moving.action = troupe::bulk_action::move;
  moving.filter.queue = "here";
  moving.to_queue = "there";
  const auto begun = engine.bulk(moving);
  AWAIT("the operation's end", [&] { return engine.bulk(begun.id).state == "done"; });
  BOOST_TEST(engine.bulk(begun.id).changed == 2500);
  AWAIT("all runs", [&] { return runs == 2500; });
  BOOST_TEST(engine.wait(ids[7], 60s).attempts.back().result == "7");
  BOOST_CHECK_EXCEPTION(engine.edit({.id = ids[7], .priority = 2}), troupe::engine_error,
                        [](const auto& e) { return e.code() == troupe::errc::conflict; });
  BOOST_TEST(engine.stop());
}

BOOST_AUTO_TEST_CASE(jobs_for_a_queue_in_which_nothing_waits_start_without_a_claim) {
  troupe::engine engine{options()};
  std::atomic<int> runs{0};
  engine.handle("count", [&](const troupe::job_run&) {
    ++runs;
    return troupe::completed("null");
  });
  engine.start();
  int stored = 0;
  // The first go through a lane: only a claim that finds nothing tells the node that nothing waits.
  AWAIT("a job that is in no lane", [&] {
    ++stored;
    engine.wait(engine.enqueue({.kind = "count", .queue = "idle"}), 60s);
    return std::stoi(database.value("select count(*) from troupe.ready")) < stored;
  });
  engine.pause("idle");
  const auto held = engine.enqueue({.kind = "count", .queue = "idle"});
  engine.resume("idle");
  BOOST_TEST((engine.wait(held, 60s).state == troupe::job_state::completed));
  BOOST_TEST(engine.stop());
  BOOST_TEST(runs == stored + 1);
  BOOST_TEST(database.value("select count(*) from troupe.attempt where outcome = 1")
             == std::to_string(stored + 1));
}

BOOST_AUTO_TEST_CASE(what_a_run_says_is_there_when_its_outcome_is) {
  troupe::engine engine{options()};
  engine.handle("talk",
                [](const troupe::job_run& run) {
                  run.log("begins");
                  run.progress(50, "half way");
                  for (int i = 0; i < 3000; ++i)
                    run.log("line " + std::to_string(i), troupe::line_level::debug);
                  run.progress(100);
                  return run.attempt == 1 ? troupe::failed("once more") : troupe::completed();
                },
                {.retry = troupe::retry_policy::fixed(1ms)});
  engine.start();
  const auto id = engine.enqueue({.kind = "talk"});
  const auto job = engine.wait(id, 60s);
  BOOST_REQUIRE(job.progress);
  BOOST_TEST(job.progress->percent.value() == 100);
  BOOST_TEST(job.progress->attempt == 2);
  std::size_t lines = 0;
  for (std::optional<std::int64_t> after = 0; after;) {
    const auto page = engine.log(id, *after, 1000);
    for (const auto& line : page.lines) {
      const auto nth = lines++ % 3001;
      BOOST_REQUIRE(line.text == (nth == 0 ? "begins" : "line " + std::to_string(nth - 1)));
    }
    after = page.next;
  }
  BOOST_TEST(lines == 2 * 3001U);
  BOOST_CHECK_EXCEPTION(engine.log(troupe::job_id{4711}), troupe::engine_error,
                        [](const auto& e) { return e.code() == troupe::errc::not_found; });
  BOOST_TEST(engine.stop());
}

BOOST_AUTO_TEST_CASE(a_failing_job_is_retried_until_it_completes) {
  troupe::engine engine{options()};
  std::atomic<int> runs{0};
  engine.handle("third", [&](const troupe::job_run& run) {
    ++runs;
    if (run.attempt < 3) {
      auto result = troupe::failed("not yet");
      result.retry_in = 1ms;
      return result;
    }
    return troupe::completed();
  });
  engine.start();
  const auto job = engine.wait(engine.enqueue({.kind = "third"}), 60s);
  BOOST_TEST((job.state == troupe::job_state::completed));
  BOOST_REQUIRE_EQUAL(job.attempts.size(), 3u);
  BOOST_TEST(job.attempts[0].error == "not yet");
  BOOST_TEST((job.attempts[0].ended == troupe::outcome::failed));
  BOOST_TEST(runs.load() == 3);
}

BOOST_AUTO_TEST_CASE(an_exception_is_a_failed_attempt_and_the_last_one_discards) {
  troupe::engine engine{options()};
  engine.handle("throws", [](const troupe::job_run&) -> troupe::job_result {
    throw std::runtime_error("boom");
  });
  engine.start();
  const auto job = engine.wait(engine.enqueue({.kind = "throws", .max_attempts = 1}), 60s);
  BOOST_TEST((job.state == troupe::job_state::discarded));
  BOOST_TEST(job.attempts.at(0).error == "boom");
}

BOOST_AUTO_TEST_CASE(a_handler_that_does_not_stop_holds_neither_its_slot_nor_its_thread) {
  auto wanted = options();
  wanted.slots = 1;
  wanted.worker_threads = 1;
  wanted.stuck_after = 100ms;
  std::promise<void> gate;
  std::atomic<bool> begun{false};
  troupe::engine engine{wanted};
  engine.handle("deaf",
                [&](const troupe::job_run&) {
                  begun = true;
                  gate.get_future().wait();
                  return troupe::completed();
                },
                {.retry = troupe::retry_policy::none(), .timeout = 2s});
  engine.handle("next", [](const troupe::job_run&) { return troupe::completed(); });
  engine.start();
  const auto deaf = engine.enqueue({.kind = "deaf"});
  AWAIT("its start", [&] { return begun.load(); }); // of two jobs that wait either may be the first
  const auto job = engine.wait(engine.enqueue({.kind = "next"}), 60s);
  BOOST_TEST((job.state == troupe::job_state::completed));
  const auto given_up = engine.wait(deaf, 60s);
  BOOST_TEST((given_up.state == troupe::job_state::discarded)); // its kind has no retries
  BOOST_TEST(given_up.attempts.at(0).error == "timed out after 2000 ms");
  BOOST_TEST(engine.counters().stuck == 1U);
  gate.set_value();
  AWAIT("its end", [&] { return engine.counters().stuck == 0U; });
  BOOST_TEST(engine.stop());
}

BOOST_AUTO_TEST_CASE(a_running_job_hears_of_its_cancel) {
  troupe::engine engine{options()};
  std::atomic<bool> begun{false};
  const auto stopped = std::make_shared<std::atomic<bool>>(false); // that thread may outlive us
  engine.handle_async("waits", [&begun, stopped](troupe::job_run_ptr run, troupe::completion done) {
    auto told = std::make_shared<std::optional<std::stop_callback<std::function<void()>>>>();
    told->emplace(run->stop, [stopped, done] {
      *stopped = true;
      done(troupe::failed("stopped"));
    });
    std::thread{[told, run, stopped] {
      while (!*stopped)
        std::this_thread::yield();
    }}.detach();
    begun = true;
  });
  engine.start();
  const auto id = engine.enqueue({.kind = "waits"});
  AWAIT("its start", [&] { return begun.load(); });
  BOOST_TEST((engine.get(id).state == troupe::job_state::running));
  const auto job = engine.cancel(id);
  BOOST_TEST((job.state == troupe::job_state::cancelled));
  AWAIT("the handler is told", [&] { return stopped->load(); });
  BOOST_TEST(engine.stop());
  // The late answer of the handler changes nothing.
  BOOST_TEST(database.value("select outcome from troupe.attempt") == "2");
}

BOOST_AUTO_TEST_CASE(a_backlog_survives_a_stop_and_no_job_runs_twice) {
  constexpr int count = 5000;
  {
    auto first = options();
    first.queues["bulk"] = 0; // producer only
    troupe::engine engine{first};
    engine.start();
    std::vector<troupe::job_spec> jobs;
    for (int i = 0; i < count; ++i)
      jobs.push_back({.kind = "noop", .queue = "bulk", .args = std::to_string(i)});
    BOOST_TEST(engine.enqueue_all(std::move(jobs)).size() == std::size_t{count});
    BOOST_TEST(engine.stop());
  }
  for (int life = 0; life < 3; ++life) { // stopped in the middle, then to the end
    troupe::engine engine{options()};
    engine.start();
    const auto enough = life == 2 ? 0 : 500;
    if (life < 2)
      AWAIT("some jobs are done", [&] {
        return engine.counters().attempts_completed.load() >= static_cast<std::uint64_t>(enough)
               || database.value("select count(*) from troupe.attempt") == std::to_string(count);
      });
    else
      AWAIT("all jobs are done", [&] {
        return database.value("select count(*) from troupe.attempt where outcome = 1")
               == std::to_string(count);
      });
    BOOST_TEST(engine.stop());
    BOOST_TEST(database.value("select count(*) from troupe.lease") == "0");
  }
  BOOST_TEST(database.value("select count(*) from troupe.attempt") == std::to_string(count));
}

BOOST_AUTO_TEST_CASE(wrong_jobs_are_refused_with_the_field_named) {
  troupe::engine engine{options()};
  engine.start();
  const auto refused = [&](troupe::job_spec job, const std::string& word) {
    try {
      engine.enqueue(std::move(job));
    } catch (const troupe::engine_error& error) {
      BOOST_TEST((error.code() == troupe::errc::invalid_argument));
      BOOST_TEST(std::string{error.what()}.find(word) != std::string::npos, error.what());
      return;
    }
    BOOST_ERROR("accepted: " + word);
  };
  refused({.kind = "nobody"}, "no handler for kind 'nobody'");
  refused({.kind = "noop", .queue = "a b"}, "queue");
  refused({.kind = "noop", .priority = 10}, "priority");
  refused({.kind = "noop", .args = "{"}, "job_enqueue");
  BOOST_TEST(database.value("select count(*) from troupe.job") == "0");
  BOOST_CHECK_THROW(engine.get(troupe::job_id{99}), troupe::engine_error);
}

BOOST_AUTO_TEST_CASE(a_unique_job_and_a_request_asked_again_give_the_first_ones_ids) {
  troupe::engine engine{options()};
  engine.start();
  const auto conflicts = [&](const troupe::job_spec& job, const troupe::enqueue_options& how) {
    try {
      engine.enqueue(job, how);
      return std::string{};
    } catch (const troupe::engine_error& error) {
      BOOST_TEST((error.code() == troupe::errc::conflict));
      return std::string{error.what()};
    }
  };
  troupe::job_spec job{
      .kind = "noop", .delay = std::chrono::hours{1}, .unique = troupe::unique_rule{}};
  const auto first = engine.enqueue(job);
  BOOST_TEST(conflicts(job, {})
             == "job " + std::to_string(first.value) + " has the same unique key");
  job.unique->conflict = troupe::on_conflict::existing;
  BOOST_TEST((engine.enqueue(job) == first));
  job.unique->period = std::chrono::milliseconds{0};
  BOOST_CHECK_THROW(engine.enqueue(job), troupe::engine_error);
  const troupe::job_spec plain{.kind = "noop", .delay = std::chrono::hours{1}};
  const troupe::enqueue_options once{.idempotency_key = "k"};
  const auto ids = engine.enqueue_all({plain, plain}, once);
  BOOST_TEST((engine.enqueue_all({plain, plain}, once) == ids));
  BOOST_TEST(conflicts(plain, once) == "this idempotency key belongs to a request with other jobs");
  BOOST_CHECK_THROW(engine.enqueue(plain, {std::string(256, 'k')}), troupe::engine_error);
  BOOST_TEST(database.value("select count(*) from troupe.job") == "3");
  BOOST_TEST(engine.counters().jobs_enqueued == 3U);
}

BOOST_AUTO_TEST_CASE(an_unreachable_database_is_told_in_bounded_time) {
  auto wrong = options();
  wrong.database_url = "postgresql://nobody@/nothing?host=" + folder.path().string();
  troupe::engine engine{wrong};
  try {
    engine.start();
    BOOST_ERROR("started without a database");
  } catch (const troupe::engine_error& error) {
    BOOST_TEST(std::string{error.what()}.size() > 10);
  }
}

BOOST_AUTO_TEST_CASE(a_taken_port_is_told_and_leaves_nothing_behind) {
  auto first = options();
  first.http = true;
  first.port = 0;
  troupe::engine engine{first};
  engine.start();
  const auto url = engine.url();
  auto second = options();
  second.http = true;
  second.port = static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
  troupe::engine other{second};
  BOOST_CHECK_THROW(other.start(), troupe::engine_error);
  BOOST_TEST(engine.stop());
  BOOST_TEST(database.value("select count(*) from troupe.node where ended_at is null") == "0");
}

BOOST_AUTO_TEST_CASE(an_engine_may_start_on_one_thread_and_stop_on_another) {
  auto engine = std::make_unique<troupe::engine>(options());
  std::atomic<bool> asked{false};
  std::atomic<bool> leave{false};
  std::thread starter{[&] {
    engine->start();
    engine->enqueue({.kind = "noop"});
    asked = true;
    while (!leave)
      std::this_thread::yield();
  }};
  AWAIT("it is up", [&] { return engine->health() && engine->health()->ready; });
  AWAIT("its job is put in", [&] { return asked.load(); });
  AWAIT("its job is done", [&] { return engine->counters().attempts_completed.load() == 1; });
  BOOST_TEST(engine->stop());
  leave = true;
  starter.join();
}

BOOST_AUTO_TEST_SUITE_END()
