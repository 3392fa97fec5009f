// Who is told what by NOTIFY, and who is not: an enqueue tells if and only if a node sleeps on the
// queue, however the two meet.
#include "db/wakes.hpp"
#include "tests/db/two_nodes.hpp"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;
using texts = std::vector<std::string>;
using nap = db::sleep_state;

namespace {

const db::statement fence{"fence", "select pg_notify('troupe', 'fence')"};
const db::statement nothing{"nothing", "select 1"};
const db::statement old_snapshot{"old_snapshot", "begin isolation level repeatable read"};
const db::statement serializable{"serializable", "begin isolation level serializable"};

/// A session that listens, as NOTIFIER's.
struct listener : desk {
  explicit listener(const std::string& url) : desk(url) { ask(db::listen_query()); }

  /// What was told by commits before this call.
  texts heard() {
    ask(db::query{fence});
    texts all;
    for (;;) {
      while (auto note = on.next_notification()) {
        if (note->payload == "fence")
          return all;
        all.push_back(note->payload);
      }
      step(on);
    }
  }
  std::vector<db::slept> ask_to(const db::sleep_request& what) {
    return db::decode_slept(ask(db::sleep_query(what)));
  }
  nap sleep_on(const std::string& queue = "default") {
    return ask_to({{queue}, {}, {}}).at(0).state;
  }
  nap look(const std::string& queue = "default") { return ask_to({{}, {queue}, {}}).at(0).state; }
  void wake_up(const std::string& queue = "default") { ask_to({{}, {}, {queue}}); }
};

struct waking : two_nodes {
  listener node{database.url()};

  /// There are lanes, and nothing in them.
  void empty_queue(const std::string& queue = "default") {
    at.finish(at.enqueue_here({{.kind = "noop", .queue = queue}}).claimed);
    at.enqueue(job_spec{.kind = "noop", .queue = queue});
    for (const auto& batch : at.drain(100, queue))
      at.finish(batch);
    node.heard();
  }
  void asleep(const std::string& queue = "default") {
    empty_queue(queue);
    BOOST_REQUIRE((node.sleep_on(queue) == nap::asleep));
  }
  std::string beat_of(const desk& of) const { return "beat " + std::to_string(of.node.value); }
};

} // namespace

BOOST_AUTO_TEST_CASE(hints_are_read_and_all_else_is_nothing) {
  const auto wake = db::parse_hint("wake mail.out:1_-");
  BOOST_REQUIRE(wake.has_value());
  BOOST_TEST(std::get<db::wake_hint>(*wake).queue == "mail.out:1_-");
  BOOST_TEST((std::get<db::due_hint>(*db::parse_hint("due 350")).delay == 350ms));
  BOOST_TEST(!std::get<db::beat_hint>(*db::parse_hint("beat")).node.has_value());
  BOOST_TEST(std::get<db::beat_hint>(*db::parse_hint("beat 17")).node->value == 17);
  BOOST_TEST(std::get<db::token_hint>(*db::parse_hint("token 17")).id == 17);
  for (const auto* bad : {"", "wake", "wake ", "wake a b", "wake \xff", "due", "due x", "due -1",
                          "due 1x", "due 99999999999999999999", "due 9223372036854775807", "beat ",
                          "beat x", "beat -1", "later 1", "WAKE a", "token", "token x", "token -1"})
    BOOST_TEST(!db::parse_hint(bad).has_value(), bad);
  BOOST_TEST(!db::parse_hint("wake " + std::string(129, 'q')).has_value());
}

BOOST_FIXTURE_TEST_SUITE(enqueues, waking)

BOOST_AUTO_TEST_CASE(an_enqueue_tells_if_and_only_if_somebody_sleeps_on_its_queue) {
  empty_queue();
  empty_queue("other");
  at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.finish(at.claim_one());
  BOOST_TEST((node.sleep_on() == nap::asleep));
  at.enqueue(job_spec{.kind = "noop", .queue = "other"});
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.enqueue();
  at.enqueue_many(1000);
  BOOST_TEST(node.heard() == (texts{"wake default", "wake default"}),
             boost::test_tools::per_element());
  node.wake_up();
  at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_transaction_that_is_rolled_back_tells_nobody_and_a_long_one_tells_once) {
  asleep();
  at.begin();
  at.enqueue();
  at.rollback();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.begin();
  for (int i = 0; i < 50; ++i)
    at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.commit();
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(of_many_queues_those_are_named_on_which_somebody_sleeps) {
  asleep("a");
  empty_queue("b");
  asleep("c");
  at.enqueue(std::vector<job_spec>{{.kind = "noop", .queue = "a"},
                                   {.kind = "noop", .queue = "b"},
                                   {.kind = "noop", .queue = "c"},
                                   {.kind = "noop", .queue = "a"}});
  auto told = node.heard();
  std::sort(told.begin(), told.end());
  BOOST_TEST(told == (texts{"wake a", "wake c"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_queues_first_job_is_told_though_nobody_can_sleep_there_yet) {
  database.exec("select troupe.enqueue('noop', queue => 'new')");
  BOOST_TEST(node.heard() == texts{"wake new"}, boost::test_tools::per_element());
  database.exec("select troupe.enqueue('noop', queue => 'new')");
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_session_that_ends_sleeps_no_more) {
  empty_queue();
  listener second(database.url());
  const auto sleeps = "select count(*) from pg_locks where locktype = 'advisory' and pid = "
                      + std::to_string(second.on.backend_pid());
  { const auto gone = std::move(second); }
  BOOST_REQUIRE(await_until([&] { return database.value(sleeps) == "0"; }));
  at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(several_nodes_sleep_and_each_counts) {
  listener second(database.url());
  asleep();
  BOOST_TEST((second.sleep_on() == nap::asleep));
  node.wake_up();
  at.enqueue();
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
  BOOST_TEST(second.heard() == texts{"wake default"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_other_ways_into_a_lane_tell_as_well) {
  asleep();
  const auto later = at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.retry(later); // now
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
  at.finish(at.claim_one());
  const auto due = at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  let_time_pass();
  BOOST_TEST(other.promote().count == 1);
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
  const auto batch = lose();
  BOOST_TEST((batch.jobs.at(0)->id == due));
  BOOST_TEST(at.rescue(other.node).count == 1);
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_job_that_is_due_before_a_heartbeat_would_tell_is_told_to_the_schedulers) {
  empty_queue();
  const auto told = [&](std::chrono::milliseconds delay) {
    at.enqueue(job_spec{.kind = "noop", .delay = delay});
    const auto all = node.heard();
    BOOST_REQUIRE(all.size() < 2U);
    return all.empty() ? std::string{} : all[0];
  };
  const auto all_are_due_in = [&](const std::string& time) {
    at.ask(db::make_query("update troupe.deferred set due_at = clock_timestamp() + interval '"
                          + time + "'"));
  };
  BOOST_TEST(told(10s) == "");
  all_are_due_in("1 hour");
  const auto first = db::parse_hint(told(600ms));
  BOOST_REQUIRE((first && std::holds_alternative<db::due_hint>(*first)));
  BOOST_TEST((std::get<db::due_hint>(*first).delay <= 600ms));
  std::string second;
  const auto soon_enough = [&] { // or the first one is overdue
    const auto began = std::chrono::steady_clock::now();
    all_are_due_in("500 ms");
    second = told(900ms);
    return std::chrono::steady_clock::now() - began < 1s;
  };
  BOOST_TEST(await_until(soon_enough));
  BOOST_TEST(second == ""); // they look when the first one is due
  all_are_due_in("1 hour");
  BOOST_TEST(told(50ms).substr(0, 4) == "due ");
  BOOST_TEST((node.sleep_on() == nap::asleep));
  BOOST_TEST(told(20s) == ""); // nothing for a sleeper
}

BOOST_AUTO_TEST_CASE(a_transaction_of_thousands_of_queues_holds_a_bounded_number_of_locks) {
  std::vector<job_spec> jobs;
  for (int i = 0; i < 2000; ++i)
    jobs.push_back({.kind = "noop", .queue = "q" + std::to_string(i)});
  at.enqueue(jobs);
  at.begin();
  at.enqueue(jobs);
  const auto held = std::stoi(
      database.value("select count(*) from pg_locks where locktype = 'advisory' and pid = "
                     + std::to_string(at.on.backend_pid())));
  BOOST_TEST(held <= 256);
  BOOST_TEST(held > 200);
  at.commit();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(falling_asleep, waking)

BOOST_AUTO_TEST_CASE(where_there_is_work_a_node_does_not_sleep) {
  empty_queue();
  at.enqueue();
  BOOST_TEST((node.sleep_on() == nap::work));
  at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_writer_that_did_not_see_the_sleeper_keeps_it_uneasy_until_it_ends) {
  empty_queue();
  at.begin();
  const auto id = at.enqueue();
  BOOST_TEST((node.sleep_on() == nap::uneasy));
  BOOST_TEST((node.look() == nap::uneasy));
  at.commit();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  BOOST_TEST((node.look() == nap::work));
  BOOST_TEST((other.claim_one().jobs[0]->id == id));
  at.begin();
  at.enqueue();
  BOOST_TEST((node.sleep_on() == nap::uneasy));
  at.rollback();
  BOOST_TEST((node.look() == nap::asleep));
}

BOOST_AUTO_TEST_CASE(one_that_came_later_has_seen_it_and_tells) {
  asleep();
  at.begin();
  at.enqueue();
  BOOST_TEST((node.look() == nap::uneasy)); // it cannot know which of the two it is
  at.commit();
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_snapshot_from_before_the_sleep_hides_the_sleeper_from_nobody) {
  empty_queue();
  for (const auto* begin : {&old_snapshot, &serializable}) {
    at.ask(db::query{*begin});
    at.ask(db::query{nothing});
    BOOST_TEST((node.sleep_on() == nap::asleep));
    at.enqueue();
    at.commit();
    BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
    other.finish(other.claim_one());
    node.wake_up();
  }
}

BOOST_AUTO_TEST_CASE(a_writer_that_a_cursor_has_passed_is_no_work_before_it_ends) {
  empty_queue();
  desk slow(database.url());
  slow.begin();
  const auto late = slow.enqueue_many(1100); // in all lanes
  at.enqueue_many(1100);
  while (!other.claim(1000).jobs.empty())
    ;
  BOOST_TEST((node.sleep_on() == nap::uneasy));
  slow.commit();
  BOOST_TEST((node.look() == nap::work));
  BOOST_TEST(everything(other) == set_of(late), boost::test_tools::per_element());
  BOOST_TEST((node.sleep_on() == nap::asleep));
}

BOOST_AUTO_TEST_CASE(what_may_not_be_handed_out_is_no_work_and_no_reason_to_sleep) {
  asleep();
  at.pause();
  at.enqueue();
  node.heard();
  BOOST_TEST((node.look() == nap::held));
  at.enqueue();
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.resume();
  BOOST_TEST((node.sleep_on() == nap::work));
  at.limit_rate(job_rate{1, 1h, 1});
  BOOST_TEST(at.claim(100).jobs.size() == 1U);
  BOOST_TEST((node.sleep_on() == nap::held));
}

BOOST_AUTO_TEST_CASE(where_a_look_has_an_old_snapshot_a_node_is_never_at_ease) {
  empty_queue();
  node.ask(db::query{old_snapshot});
  BOOST_TEST((node.sleep_on() == nap::uneasy));
  node.commit();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(steering, waking)

BOOST_AUTO_TEST_CASE(what_is_said_of_a_queue_is_told_to_all_and_what_claims_note_there_is_not) {
  empty_queue();
  const auto tells = [&] { return node.heard() == texts{"beat"}; };
  at.pause();
  BOOST_TEST(tells());
  at.pause(); // no change
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  at.resume();
  BOOST_TEST(tells());
  at.limit(3);
  BOOST_TEST(tells());
  at.limit_rate(job_rate{100, 1s, 10});
  BOOST_TEST(tells());
  at.limit_keys(2);
  BOOST_TEST(tells());
  at.enqueue_keyed(5, "k");
  BOOST_TEST(at.claim_for(5, 5, 0).jobs.size() > 0U);
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_cancel_is_told_to_the_node_that_runs_the_job) {
  empty_queue();
  at.enqueue();
  const auto batch = other.claim(1);
  const auto id = batch.jobs.at(0)->id;
  at.cancel(at.enqueue()); // which waits
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  database.exec("select troupe.cancel(" + std::to_string(id.value) + ")");
  BOOST_TEST(node.heard() == texts{beat_of(other)}, boost::test_tools::per_element());
  BOOST_TEST(other.beat().cancelled == std::vector{id}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(permits_that_are_given_back_are_told_when_another_node_wants_some) {
  at.limit(2);
  at.enqueue_many(10);
  const auto held = at.claim_for(10, 2, 0).permits;
  BOOST_REQUIRE(held.has_value());
  BOOST_REQUIRE_EQUAL(held->count, 2);
  node.heard();
  const auto less = at.keep({1, held->change});
  BOOST_TEST(node.heard() == texts{}, boost::test_tools::per_element());
  other.claim_for(10, 2, 0); // and wants two, for as long as the test takes
  database.exec("update troupe.permit set wanted_at = clock_timestamp() + interval '1 hour' "
                "where wanted_at is not null");
  node.heard();
  at.keep({0, less.change});
  BOOST_TEST(node.heard() == texts{"wake default"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// One queue, a writer that enqueues the next job as soon as the last one was handed out, which is
/// when the node falls asleep, and a node that is woken by nothing but notifications.
struct duel {
  std::string url;
  std::string queue;
  unsigned seed;
  std::atomic<std::int64_t> handed_out{0};
  std::atomic<bool> over{false};
  std::int64_t written = 0;
  int naps = 0;
  std::string problem = {}; ///< the writer's
  std::string trouble = {}; ///< the node's

  void write(int rounds) {
    std::mt19937 random{seed};
    desk mine(url);
    const auto pauses = [&](unsigned most) {
      for (auto left = random() % most; left > 0; --left)
        mine.ask(db::query{nothing});
    };
    for (int i = 0; i < rounds && !over; ++i) {
      mine.ask(db::query{random() % 3 == 0 ? old_snapshot : begin_statement});
      pauses(3); // the first takes the snapshot
      const auto id = mine.enqueue(job_spec{.kind = "noop", .queue = queue});
      pauses(6);
      if (random() % 8 == 0) {
        mine.rollback();
        continue;
      }
      mine.commit();
      ++written;
      if (!await_until([&] { return handed_out >= id.value; })) {
        problem = queue + ": job " + std::to_string(id.value) + " was never noticed";
        break;
      }
    }
    over = true;
  }

  void run() {
    listener mine(url);
    mine.join();
    const auto claim_all = [&] {
      for (const auto& batch : mine.drain(10, queue)) {
        mine.finish(batch);
        handed_out = batch.jobs.back()->id.value;
      }
    };
    while (!over) {
      claim_all();
      auto how = mine.sleep_on(queue);
      while (how == nap::uneasy && !over)
        how = mine.look(queue);
      if (how == nap::work)
        continue;
      ++naps;
      while (!over && !is_called(mine))
        wait_for_note(mine);
      mine.wake_up(queue);
    }
  }
  /// The others' notifications do not count, or they would hide that one of ours is missing.
  bool is_called(desk& mine) const {
    while (const auto note = mine.on.next_notification())
      if (note->payload == "wake " + queue)
        return true;
    return false;
  }
  /// Until something comes, or for so short that the end is noticed.
  static void wait_for_note(desk& mine) {
    pollfd socket{mine.on.socket(), POLLIN, 0};
    if (poll(&socket, 1, 50) == 1)
      mine.on.on_readable();
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(no_job_goes_unnoticed_however_writers_and_sleepers_meet, jobs_database) {
  const char* given = std::getenv("TROUPE_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  BOOST_TEST_CONTEXT("TROUPE_SEED=" << seed) {
    std::deque<duel> duels;
    for (unsigned i = 0; i < 4; ++i)
      duels.emplace_back(database.url(), "q" + std::to_string(i), seed + i);
    {
      std::vector<std::jthread> threads;
      const auto begin = [&](duel& one, std::string& problem, auto act) {
        threads.emplace_back([&one, &problem, act] {
          try {
            act(one);
          } catch (const std::exception& failed) {
            problem = failed.what();
          }
          one.over = true;
        });
      };
      for (auto& one : duels) {
        begin(one, one.trouble, [](duel& it) { it.run(); });
        begin(one, one.problem, [](duel& it) { it.write(500); });
      }
    }
    for (const auto& one : duels) {
      BOOST_TEST(one.problem == "");
      BOOST_TEST(one.trouble == "");
      BOOST_TEST(one.written > 300);
      BOOST_TEST(one.naps > 0);
      BOOST_TEST_MESSAGE(one.queue << ": " << one.written << " jobs, " << one.naps << " naps");
    }
  }
}
