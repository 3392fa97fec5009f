// Two nodes on one database, and queues that are paused and limited: what runs at once is counted
// by the handlers themselves, outside of both.
#include "launcher/engine.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// For thousands of jobs.
constexpr auto long_patience = 5 * patience;
#ifdef __SANITIZE_ADDRESS__
constexpr int very_many = 5'000;
#else
constexpr int very_many = 30'000;
#endif

/// How many are inside, and the most that ever were.
class turnstile {
public:
  void enter() {
    const int now = ++inside_;
    for (int seen = most_; now > seen && !most_.compare_exchange_weak(seen, now);)
      ;
  }
  void leave() {
    --inside_;
    ++passed_;
  }
  int inside() const { return inside_; }
  int passed() const { return passed_; }
  int most() const { return most_; }
  void forget_most() { most_ = inside_.load(); }

private:
  std::atomic<int> inside_{0};
  std::atomic<int> most_{0};
  std::atomic<int> passed_{0};
};

/// Lets runs wait until it is opened.
class gate {
public:
  void pass() {
    std::unique_lock lock(guard_);
    opened_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(guard_);
    open_ = true;
    opened_.notify_all();
  }

private:
  std::mutex guard_;
  std::condition_variable opened_;
  bool open_ = false;
};

struct two_engines {
  two_engines() {
    for (auto* node : {&one, &two}) {
      node->handle("brief", [this](const job_run&) {
        running.enter();
        std::atomic<int> nothing{0}; // takes a moment
        while (++nothing < 20'000)
          ;
        running.leave();
        return completed();
      });
      node->handle("counted", [this](const job_run& run) {
        auto& mine = of_key.at(static_cast<std::size_t>(std::stoi(run.args)));
        mine.enter();
        std::atomic<int> nothing{0}; // takes a moment
        while (++nothing < 20'000)
          ;
        mine.leave();
        return completed();
      });
      for (const bool fails : {false, true})
        node->handle(fails ? "at_second" : "in_turn", [this, fails](const job_run& run) {
          running.enter();
          {
            const std::lock_guard lock(turns_guard);
            turns.push_back(run.id);
          }
          running.leave();
          return fails && run.attempt == 1 ? failed("not yet") : completed();
        });
      node->handle("held", [this](const job_run&) {
        running.enter();
        way_out.pass();
        running.leave();
        return completed();
      });
      node->start();
    }
  }
  ~two_engines() { way_out.open(); }

  engine_options options(const std::string& name) {
    engine_options out;
    out.database_url = database.url();
    out.data_dir = folder.path().string();
    out.node = name;
    out.worker_threads = 16;
    out.grace = patience;
    out.database.acquire_timeout = out.database.statement_timeout = patience;
    return out;
  }
  void enqueue(int count, const std::string& kind) {
    one.enqueue_all(std::vector<job_spec>(static_cast<std::size_t>(count),
                                          job_spec{.kind = kind, .queue = "q"}));
  }
  bool passed(int count) {
    return await_until([this, count] { return running.passed() >= count; }, long_patience);
  }

  test_database database;
  temp_dir folder;
  turnstile running;
  std::array<turnstile, 3> of_key;
  std::mutex turns_guard;
  std::vector<job_id> turns; ///< in the order of their starts
  gate way_out;
  engine one{options("one")};
  engine two{options("two")};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(steering_queues, two_engines)

BOOST_AUTO_TEST_CASE(on_two_nodes_no_more_run_at_once_than_the_limit) {
  one.limit("q", 3);
  enqueue(20, "held");
  BOOST_REQUIRE(await_until([&] { return running.inside() == 3; })); // and as many they may be
  enqueue(2000, "brief");
  way_out.open();
  BOOST_REQUIRE(passed(2020));
  BOOST_TEST(running.most() == 3);
  BOOST_TEST(await_until([&] { return one.queue("q").running == 0; }));
  // Nobody sits on a permit that has no use for it.
  BOOST_TEST(
      await_until([&] { return database.value("select sum(permits) from troupe.permit") == "0"; }));
  BOOST_TEST(running.passed() == 2020);
}

BOOST_AUTO_TEST_CASE(both_nodes_get_their_share_of_a_limit) {
  one.limit("q", 4);
  enqueue(200, "held");
  BOOST_REQUIRE(await_until([&] { return running.inside() == 4; }));
  way_out.open();
  const auto ran_on = [&](const char* name) {
    return std::stoi(database.value("select count(*) from troupe.attempt a join troupe.node n on "
                                    "n.id = a.node where n.name = '"
                                    + std::string{name} + "'"));
  };
  enqueue(50'000, "brief");
  BOOST_TEST(await_until([&] { return ran_on("one") > 0 && ran_on("two") > 0; }, long_patience));
  BOOST_TEST(running.most() <= 4);
  one.pause("q");
}

BOOST_AUTO_TEST_CASE(a_limit_that_is_lowered_holds_soon_and_one_that_is_raised_at_once) {
  one.limit("q", 8);
  enqueue(very_many, "brief");
  BOOST_REQUIRE(passed(500));
  one.limit("q", 2);
  BOOST_REQUIRE(await_until(
      [&] { return std::stoi(database.value("select sum(permits) from troupe.permit")) <= 2; }));
  running.forget_most();
  const int then = running.passed();
  BOOST_REQUIRE(passed(std::min(very_many, then + 500)));
  BOOST_TEST(running.most() <= 2);
  one.limit("q", std::nullopt);
  BOOST_REQUIRE(passed(very_many));
}

BOOST_AUTO_TEST_CASE(a_paused_queue_starts_nothing_and_goes_on_when_it_is_resumed) {
  enqueue(10, "held");
  BOOST_REQUIRE(await_until([&] { return running.inside() == 10; }));
  const auto paused = two.pause("q");
  BOOST_TEST(paused.paused_at.has_value());
  enqueue(30, "brief");
  const auto held = two.enqueue({.kind = "brief", .queue = "q"});
  BOOST_TEST((two.why(held).reason == hold_reason::paused));
  two.cancel(held);
  way_out.open();
  // Drained: what ran has ended, and what was claimed ahead has been given back.
  BOOST_REQUIRE(await_until([&] { return one.queue("q").running == 0; }));
  BOOST_TEST(running.passed() == 10);
  BOOST_TEST(await_until([&] { return one.queue("q").waiting == 30; }));
  one.resume("q");
  BOOST_REQUIRE(passed(40));
  BOOST_TEST(!two.queue("q").paused_at.has_value());
}

BOOST_AUTO_TEST_CASE(on_two_nodes_no_more_start_in_a_time_than_the_rate) {
  one.limit_rate("q", job_rate{100, 1s, 10});
  const auto begun = std::chrono::steady_clock::now();
  enqueue(200, "brief");
  for (int count = 20; count <= 200; count += 20) {
    BOOST_REQUIRE(passed(count));
    // As many as had passed when we looked had been allowed by then.
    const int ended = running.passed();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    BOOST_TEST(ended <= 10 + 100 * took.count());
  }
}

BOOST_AUTO_TEST_CASE(on_two_nodes_no_more_of_a_key_run_at_once_than_its_limit_and_others_go_on) {
  one.limit_keys("q", 2);
  const auto put = [&](int key, int count) {
    one.enqueue_all(std::vector<job_spec>(static_cast<std::size_t>(count),
                                          job_spec{.kind = "counted",
                                                   .queue = "q",
                                                   .args = std::to_string(key),
                                                   .limit_key = std::to_string(key)}));
  };
  put(0, 600);
  put(1, 200);
  put(2, 200);
  const auto passed_all = [&] {
    return of_key[0].passed() == 600 && of_key[1].passed() == 200 && of_key[2].passed() == 200;
  };
  BOOST_REQUIRE(await_until(passed_all, long_patience));
  for (const auto& key : of_key) {
    BOOST_TEST(key.most() <= 2);
    BOOST_TEST(key.most() >= 1);
  }
  BOOST_TEST(await_until([&] { return one.queue("q").running == 0; }));
  BOOST_TEST(
      await_until([&] { return database.value("select count(*) from troupe.key_runs") == "0"; }));
}

BOOST_AUTO_TEST_CASE(a_key_with_twenty_thousand_jobs_does_not_hold_up_another) {
  one.limit_keys("q", 1);
  const auto held = one.enqueue({.kind = "held", .queue = "q", .limit_key = "big"});
  BOOST_REQUIRE(await_until([&] { return running.inside() == 1; }));
  for (int i = 0; i < 2; ++i)
    one.enqueue_all(
        std::vector<job_spec>(10'000, job_spec{.kind = "brief", .queue = "q", .limit_key = "big"}));
  const auto other = one.enqueue({.kind = "brief", .queue = "q", .limit_key = "other"});
  BOOST_TEST((one.wait(other, long_patience).state == job_state::completed));
  BOOST_TEST(running.passed() == 1);
  BOOST_TEST(running.inside() == 1);
  BOOST_TEST((one.get(held).state == job_state::running));
  one.pause("q");
}

BOOST_AUTO_TEST_CASE(on_two_nodes_no_more_of_a_key_start_in_a_time_than_its_rate) {
  one.limit_key_rate("q", job_rate{100, 1s, 10});
  const auto begun = std::chrono::steady_clock::now();
  one.enqueue_all(
      std::vector<job_spec>(100, job_spec{.kind = "brief", .queue = "q", .limit_key = "customer"}));
  for (int count = 20; count <= 100; count += 20) {
    BOOST_REQUIRE(passed(count));
    const int ended = running.passed();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    BOOST_TEST(ended <= 10 + 100 * took.count());
  }
}

BOOST_AUTO_TEST_CASE(of_an_ordered_queue_two_nodes_run_one_job_after_the_other_through_failures) {
  one.order("q", true);
  std::vector<job_id> ids;
  for (int i = 0; i < 60; ++i)
    ids.push_back((i % 2 == 0 ? one : two)
                      .enqueue({.kind = i % 5 == 0 ? "at_second" : "in_turn",
                                .queue = "q",
                                .retry = retry_policy::fixed(20ms)}));
  BOOST_TEST((one.wait(ids.back(), long_patience).state == job_state::completed));
  BOOST_TEST(running.most() == 1);
  const std::lock_guard lock(turns_guard);
  std::vector<job_id> wanted;
  for (int i = 0; i < 60; ++i)
    wanted.insert(wanted.end(), i % 5 == 0 ? 2 : 1, ids[static_cast<std::size_t>(i)]);
  BOOST_TEST((turns == wanted));
  BOOST_TEST(one.queue("q").ordered);
}

BOOST_AUTO_TEST_SUITE_END()
