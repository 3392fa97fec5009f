// What SQL and other nodes change is noticed at once. Nobody measures a time: heartbeats are
// counted, and what had waited for one each time would have needed as many of them as there are
// rounds.
#include "db/blocking.hpp"
#include "db/wakes.hpp"
#include "launcher/engine.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <memory>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

db::connect_options as_tester(const std::string& url) {
  db::connect_options out;
  out.url = url;
  out.application_name = "troupe test";
  out.statement_timeout = out.lock_timeout = patience;
  return out;
}

const db::statement fence{"fence", "select pg_notify('troupe', 'fence')"};

/// A session that listens, as a node's.
class listener {
public:
  explicit listener(const std::string& url) : on_(connect(as_tester(url))) {
    tests::rows(on_, db::listen_query());
  }
  /// What was told by commits before this call, and after the last one.
  std::vector<std::string> heard() {
    tests::rows(on_, db::query{fence});
    std::vector<std::string> all;
    for (;;) {
      while (auto note = on_.next_notification()) {
        if (note->payload == "fence")
          return all;
        all.push_back(note->payload);
      }
      step(on_);
    }
  }

private:
  db::connection on_;
};

struct nodes {
  engine_options options(const std::string& name) const {
    engine_options out;
    out.database_url = database.url();
    out.data_dir = folder.path().string();
    out.node = name;
    out.grace = patience;
    out.database.acquire_timeout = patience;
    return out;
  }
  engine& start(engine_options with) {
    auto& node = *all.emplace_back(std::make_unique<engine>(std::move(with)));
    node.handle("count", [this](const job_run&) {
      ++runs;
      return completed();
    });
    node.handle("endless", [this](const job_run& run) {
      ++runs;
      while (!run.stop.stop_requested())
        await_until([&] { return run.stop.stop_requested(); }, 1s);
      ++stopped;
      return completed();
    });
    node.start();
    BOOST_REQUIRE(await_until([&] { return node.counters().listening == 1; }));
    return node;
  }
  void enqueue_by_sql(const std::string& arguments) {
    sql.exec("select troupe.enqueue(" + arguments + ")");
  }
  /// The sessions that sleep on something.
  int sleepers() {
    return std::stoi(*sql.value("select count(distinct pid) from pg_locks l join pg_stat_activity "
                                "a using (pid) where l.locktype = 'advisory' and a.datname = "
                                "current_database() and a.application_name like '% listens'"));
  }
  /// Each round waits for its own effect. What is left to heartbeats takes one, of a node that sees
  /// it, for each round.
  template<class Round>
  void at_once(int rounds, Round round) {
    const auto before = all.front()->counters().heartbeats.load();
    for (int i = 0; i < rounds; ++i)
      round(i);
    const auto taken = all.front()->counters().heartbeats - before;
    BOOST_TEST(taken < static_cast<std::uint64_t>(rounds) / 2,
               taken << " heartbeats in " << rounds << " rounds");
  }
  bool ran(int count) {
    return await_until([&] { return runs >= count; });
  }

  test_database database;
  /// Kept, so that a round costs no new connection: rounds are compared with heartbeats.
  db::startup_session sql{as_tester(database.url())};
  temp_dir folder;
  std::atomic<int> runs{0};
  std::atomic<int> stopped{0};
  std::vector<std::unique_ptr<engine>> all;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(wakes, nodes)

BOOST_AUTO_TEST_CASE(jobs_that_come_by_sql_start_without_a_heartbeat) {
  auto& node = start(options("one"));
  at_once(30, [&](int i) {
    enqueue_by_sql("'count', queue => 'q" + std::to_string(i % 3) + "'"); // the first one is new
    BOOST_REQUIRE(ran(i + 1));
  });
  BOOST_TEST(node.counters().notifications >= 15U);
  at_once(30, [&](int i) { // due before a heartbeat would tell
    enqueue_by_sql("'count', queue => 'q0', delay_ms => 20");
    BOOST_REQUIRE(ran(31 + i));
  });
}

BOOST_AUTO_TEST_CASE(what_one_node_stores_another_one_that_serves_the_queue_starts) {
  start(options("one"));
  auto other = options("two");
  other.slots = 0;
  auto& producer = start(other);
  at_once(30, [&](int i) {
    producer.enqueue({.kind = "count", .queue = i < 10 ? "first" : "second"});
    BOOST_REQUIRE(ran(i + 1));
  });
  at_once(30, [&](int i) {
    producer.enqueue({.kind = "count", .queue = "first", .delay = 20ms});
    BOOST_REQUIRE(ran(31 + i));
  });
}

BOOST_AUTO_TEST_CASE(a_cancel_on_one_node_stops_the_run_on_another) {
  start(options("one"));
  auto other = options("two");
  other.slots = 0;
  auto& operating = start(other);
  // Each cancel makes a beat of its own, besides those of the clock.
  const auto before = all.front()->counters().heartbeats.load();
  const auto began = std::chrono::steady_clock::now();
  constexpr int rounds = 40;
  for (int i = 0; i < rounds; ++i) {
    const auto id = operating.enqueue({.kind = "endless", .queue = "q"});
    BOOST_REQUIRE(ran(i + 1));
    if (i % 2 == 0)
      operating.cancel(id);
    else
      sql.exec("select troupe.cancel(" + std::to_string(id.value) + ")");
    BOOST_REQUIRE(await_until([&] { return stopped == i + 1; }));
  }
  const auto by_clock =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began)
          .count()
      + 1;
  const auto taken = all.front()->counters().heartbeats - before;
  BOOST_TEST(taken >= rounds);
  BOOST_TEST(by_clock < rounds, "the clock alone would have done: " << by_clock);
}

BOOST_AUTO_TEST_CASE(a_pause_and_its_end_reach_the_other_node) {
  auto few = options("one");
  few.slots = 1;
  start(few);
  auto other = options("two");
  other.slots = 0;
  auto& operating = start(other);
  constexpr int rounds = 20;
  const auto before = all.front()->counters().heartbeats.load();
  const auto began = std::chrono::steady_clock::now();
  const auto first = operating.enqueue({.kind = "endless", .queue = "q"});
  BOOST_REQUIRE(ran(1));
  for (int i = 0; i < 20; ++i)
    operating.enqueue({.kind = "count", .queue = "q"});
  for (int i = 0; i < rounds; ++i) {
    // What was claimed ahead is given back at once, and is claimed again at once.
    operating.pause("q");
    BOOST_REQUIRE(await_until([&] { return operating.queue("q").running == 1; }));
    BOOST_REQUIRE(await_until([&] { return operating.queue("q").waiting == 20; }));
    operating.resume("q");
    BOOST_REQUIRE(await_until([&] { return operating.queue("q").running > 1; }));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  // Two for a round, but news that come within 20 ms share one.
  BOOST_TEST(all.front()->counters().heartbeats - before >= 1U * rounds);
  BOOST_TEST(took.count() < 2 * rounds,
             "the clock alone would have done: " << took.count() << " s");
  operating.cancel(first);
  BOOST_TEST(ran(21));
}

BOOST_AUTO_TEST_CASE(a_listener_that_is_killed_listens_again_and_nothing_is_missed) {
  auto& node = start(options("one"));
  enqueue_by_sql("'count', queue => 'q'");
  BOOST_REQUIRE(ran(1));
  for (int i = 0; i < 5; ++i) {
    BOOST_REQUIRE(await_until([&] { return sleepers() == 1; }));
    const auto lost = node.counters().notifier_reconnects.load();
    BOOST_REQUIRE(*sql.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                             "datname = current_database() and application_name like '% listens'")
                  == "1");
    enqueue_by_sql("'count', queue => 'q'"); // tells nobody, or one who has ended
    BOOST_REQUIRE(await_until([&] { return node.counters().notifier_reconnects > lost; }));
    BOOST_REQUIRE(await_until([&] { return node.counters().listening == 1; }));
    BOOST_REQUIRE(ran(i + 2));
  }
  BOOST_REQUIRE(await_until([&] { return sleepers() == 1; }));
  at_once(20, [&](int i) {
    enqueue_by_sql("'count', queue => 'q'");
    BOOST_REQUIRE(ran(i + 7));
  });
}

BOOST_AUTO_TEST_CASE(a_node_that_is_busy_all_the_time_is_not_told) {
  auto with = options("one");
  with.worker_threads = 20;
  auto& node = start(with);
  node.enqueue({.kind = "count", .queue = "q"});
  BOOST_REQUIRE(ran(1));
  BOOST_REQUIRE(await_until([&] { return sleepers() == 1; }));
  // All slots are taken and the queue grows: what comes now need not be told.
  for (int i = 0; i < 16; ++i)
    node.enqueue({.kind = "endless", .queue = "q"});
  BOOST_REQUIRE(await_until([&] { return runs == 17; }));
  BOOST_REQUIRE(await_until([&] {
    enqueue_by_sql("'count', queue => 'q'");
    return sleepers() == 0;
  }));
  // The node looks once a second whether it may sleep; who enqueues right then tells it.
  listener other{database.url()};
  BOOST_TEST(await_until([&] {
    other.heard();
    for (int i = 0; i < 50; ++i)
      enqueue_by_sql("'count', queue => 'q'");
    return other.heard().empty();
  }));
  sql.exec("select troupe.cancel(id) from troupe.jobs where kind = 'endless'");
  BOOST_TEST(await_until([&] { return sleepers() == 1; })); // idle again
}

BOOST_AUTO_TEST_CASE(through_a_pooler_nobody_listens_and_the_heartbeat_serves) {
  auto with = options("one");
  with.database.pooler = true;
  auto& node = *all.emplace_back(std::make_unique<engine>(with));
  node.handle("count", [this](const job_run&) {
    ++runs;
    return completed();
  });
  node.start();
  enqueue_by_sql("'count', queue => 'q'");
  BOOST_TEST(ran(1));
  BOOST_TEST(node.counters().listening == 0U);
  BOOST_TEST(sleepers() == 0);
  for (const auto& check : node.health()->checks)
    BOOST_TEST(check.name != "notifier");
}

BOOST_AUTO_TEST_SUITE_END()
