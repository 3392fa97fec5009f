// While somebody holds a snapshot nothing that has died can be cleaned up: what the engine asks all
// the time reads no more pages for it. And what it reads instead of everything leaves nothing out.
#include "tests/db/two_nodes.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

db::query text(const std::string& sql) {
  return db::make_query(sql);
}

/// Holds a snapshot for as long as it lives.
struct snapshot_holder {
  snapshot_holder(const std::string& url, const std::string& tables) : by(url) {
    by.ask(text("begin isolation level repeatable read"));
    by.ask(text("select count(*) from " + tables));
  }
  /// Fails the test if it was not held to the end.
  void release() { by.rollback(); }
  desk by;
};

/// Pages that one execution touches, in 8 KiB, found in memory or not.
int pages(desk& at, const std::string& sql) {
  const auto plan =
      at.ask(text("explain (analyze, buffers, format json) " + sql)).one().get<std::string>(0);
  int sum = 0;
  for (const std::string name : {"\"Shared Hit Blocks\": ", "\"Shared Read Blocks\": "}) {
    const auto found = plan.find(name); // the whole statement's come first
    BOOST_REQUIRE(found != std::string::npos);
    sum += std::stoi(plan.substr(found + name.size()));
  }
  return sum;
}

struct cost {
  int claim, beat, promotion, enqueue, probe, contract, upkeep;
};

struct held : two_nodes {
  /// As the engine would: what is put in is claimed and ends, some fails and is tried again, some
  /// is put off.
  void work(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      at.enqueue_many(2);
      if (round % 3 == 0)
        at.enqueue(job_spec{.kind = "noop", .queue = "later", .delay = 1ms});
      auto batch = at.claim(10);
      if (!batch.jobs.empty())
        at.finish(batch, round % 4 == 0 ? failed("again") : completed(), 0ms);
      if (round % 5 == 0)
        at.promote();
      if (round % 10 == 0)
        at.beat();
    }
  }
  /// The least of some, since which page an update finds is chance.
  static int least(const std::function<int()>& once) {
    int found = once();
    for (int again = 0; again < 4; ++again)
      found = std::min(found, once());
    return found;
  }
  cost measured() {
    const auto node = std::to_string(at.node.value);
    at.enqueue_many(1);
    at.cancel(
        at.claim(1).jobs.at(0)->id); // a cancel that its runner is told, until its lease is gone
    const auto claim = [&] {
      at.enqueue_many(1);
      return pages(at, "select * from troupe.take(" + node + ", 'default', 1)");
    };
    const cost found{
        least(claim),
        least([&] { return pages(at, "select * from troupe.beat(" + node + ", 4000)"); }),
        least([&] { return pages(at, "select * from troupe.promote(1000)"); }),
        least([&] {
          return pages(at, "select troupe.enqueue_many('{noop}', '{default}', '{\"{}\"}', '{0}')");
        }),
        least([&] { return pages(at, "select troupe.next_due()"); }),
        least([&] { return pages(at, "select * from troupe.heartbeat(" + node + ")"); }),
        least([&] { return pages(at, "select * from troupe.upkeep()"); })};
    for (const auto lease : at.beat().leases) // what these claims took
      at.finish(at.adopt(lease));
    return found;
  }
};

struct keyed_cost {
  int claim, turns, finish, upkeep;
};

/// A queue with a limit for each key, of which most are full.
struct held_keys : two_nodes {
  held_keys() { at.limit_keys(2); }

  void enqueue() {
    for (int i = 0; i < 5; ++i)
      at.enqueue_keyed(1, std::to_string(random() % 20));
  }
  void end_one() {
    auto batch = std::move(runs.front());
    runs.pop_front();
    if (random() % 2 == 0 && batch.jobs.size() > 1) { // the rest goes on
      claimed_jobs part = batch;
      part.jobs.resize(1);
      at.finish(finish_runs{at.node, {ended(part, *part.jobs.front(), completed())}, {}});
      batch.jobs.erase(batch.jobs.begin());
      runs.push_back(std::move(batch));
    } else {
      at.finish(batch);
    }
  }
  void work(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      enqueue();
      for (int i = 0; i < 2; ++i)
        if (auto batch = at.claim(6); !batch.jobs.empty())
          runs.push_back(std::move(batch));
      while (runs.size() > 3)
        end_one();
      if (round % 20 == 0)
        at.beat();
    }
  }
  keyed_cost measured() {
    const auto node = std::to_string(at.node.value);
    const auto finish =
        [&] { // of nothing, by somebody who looks whether a lease is of limited keys
          return pages(
              at,
              "select troupe.write_outcomes(" + node
                  + ", '{1}', '{}', false, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')");
        };
    const auto claim = [&] {
      enqueue();
      const int found = pages(at, "select * from troupe.take(" + node + ", 'default', 6)");
      for (const auto lease : at.beat().leases)
        if (std::none_of(runs.begin(), runs.end(), [&](const auto& b) { return b.lease == lease; }))
          runs.push_back(at.adopt(lease));
      while (runs.size() > 3)
        end_one();
      return found;
    };
    return {held::least(claim),
            held::least([&] { return pages(at, "select troupe.queues_in_turn()"); }),
            held::least(finish),
            held::least([&] { return pages(at, "select * from troupe.upkeep()"); })};
  }
  /// The most at any time, since what has died in a generation is read until the next one begins.
  keyed_cost worst_of(int rounds) {
    keyed_cost worst{};
    for (int done = 0; done < rounds; done += 50) {
      work(50);
      const auto now = measured();
      worst = {std::max(worst.claim, now.claim), std::max(worst.turns, now.turns),
               std::max(worst.finish, now.finish), std::max(worst.upkeep, now.upkeep)};
    }
    return worst;
  }

  std::mt19937 random{7};
  std::deque<claimed_jobs> runs;
};

/// A node that does what chance has it, some of it in transactions that stay open.
class player {
public:
  player(const std::string& url, std::mt19937& random)
      : at_(std::make_unique<desk>(url)), random_(&random) {
    at_->join();
  }

  void move() {
    switch (chance(12)) {
    case 0:
      begin();
      break;
    case 1:
    case 2:
      end(chance(3) != 0);
      break;
    case 3:
      at_->enqueue_many(1 + chance(3), any_queue());
      break;
    case 4:
      at_->enqueue(job_spec{.kind = "noop", .queue = "later", .delay = some_time(100'000)});
      break;
    case 5:
    case 6:
      claim();
      break;
    case 7:
    case 8:
      finish();
      break;
    case 9:
      at_->promote(1 + chance(3));
      break;
    case 10:
      at_->ask(text("select troupe.note_leases()"));
      break;
    case 11:
      at_->ask(text("select troupe.note_deferred()"));
      break;
    default:
      break;
    }
  }
  void end(bool commit) {
    if (!open_)
      return;
    commit ? at_->commit() : at_->rollback();
    if (commit)
      std::move(inside_.begin(), inside_.end(), std::back_inserter(has_));
    inside_.clear();
    open_ = false;
  }
  bool sees_all() {
    return at_
        ->ask(text("select array(select id from troupe.live_leases() order by id)"
                   "       = array(select id from troupe.lease order by id)"
                   "   and troupe.next_due() is not distinct from"
                   "       (select min(due_at) from troupe.deferred)"))
        .one()
        .get<bool>(0);
  }

private:
  int chance(int n) { return static_cast<int>((*random_)() % static_cast<unsigned>(n)); }
  std::string any_queue() { return "q" + std::to_string(chance(8)); }
  std::chrono::milliseconds some_time(int most) {
    return std::chrono::milliseconds{1 + chance(most)};
  }
  void begin() {
    if (!open_)
      at_->begin();
    open_ = true;
  }
  void claim() {
    auto batch = at_->claim(2, any_queue());
    if (!batch.jobs.empty())
      (open_ ? inside_ : has_).push_back(std::move(batch));
  }
  void finish() {
    if (open_ || has_.empty())
      return;
    at_->finish(has_.back(), chance(2) == 0 ? failed("again") : completed(), some_time(50));
    has_.pop_back();
  }

  std::unique_ptr<desk> at_;
  std::mt19937* random_;
  std::vector<claimed_jobs> has_;
  std::vector<claimed_jobs> inside_; // the open transaction
  bool open_ = false;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(held_snapshots, held)

BOOST_AUTO_TEST_CASE(
    claims_heartbeats_and_what_is_due_read_no_more_pages_the_longer_a_snapshot_is_held) {
  snapshot_holder holder(database.url(), "troupe.lane, troupe.lease");
  work(150);
  const auto before = measured();
  // The second time the server believes that there is next to nothing in the tables.
  for (const bool analyzed : {false, true}) {
    if (analyzed)
      database.exec("analyze troupe.lane, troupe.lease, troupe.deferred, troupe.put_off_at,"
                    " troupe.checkpoint");
    work(analyzed ? 150 : 1500);
    const auto after = measured();
    // Their versions are all there.
    BOOST_TEST(std::stoi(database.value("select pg_relation_size('troupe.lane') / 8192")) > 20);
    const int most = 40; // an index that is a level deeper, an array that is longer
    BOOST_TEST(after.claim <= before.claim + most, before.claim << " then " << after.claim);
    BOOST_TEST(after.beat <= before.beat + most, before.beat << " then " << after.beat);
    BOOST_TEST(after.promotion <= before.promotion + most,
               before.promotion << " then " << after.promotion);
    BOOST_TEST(after.enqueue <= before.enqueue + most, before.enqueue << " then " << after.enqueue);
    BOOST_TEST(after.probe <= before.probe + most, before.probe << " then " << after.probe);
    const int few = 20;
    BOOST_TEST(after.contract <= before.contract + few,
               before.contract << " then " << after.contract);
    BOOST_TEST(after.upkeep <= before.upkeep + few, before.upkeep << " then " << after.upkeep);
  }
  holder.release();
}

BOOST_FIXTURE_TEST_CASE(so_it_is_with_limited_keys, held_keys) {
  snapshot_holder holder(database.url(), "troupe.parked, troupe.key_batch");
  const auto before = worst_of(800); // a generation or more
  const auto after = worst_of(1600);
  // Without generations: at least 2.4 times, where this is from 1.0 to 1.6.
  BOOST_TEST(after.claim <= 2 * before.claim, before.claim << " then " << after.claim);
  const int few = 40;
  BOOST_TEST(after.turns <= before.turns + few, before.turns << " then " << after.turns);
  BOOST_TEST(after.finish <= before.finish + few, before.finish << " then " << after.finish);
  BOOST_TEST(after.upkeep <= before.upkeep + few, before.upkeep << " then " << after.upkeep);
  BOOST_TEST(std::stoi(database.value("select max(generation) from troupe.key_state")) > 1);
  holder.release();
}

BOOST_AUTO_TEST_CASE(no_function_may_collect_all_rows_of_a_lane_to_find_its_newest) {
  BOOST_TEST(database.value("select coalesce(string_agg(proname, ' '), '') from pg_proc"
                            " where pronamespace = 'troupe'::regnamespace and prosrc ~ 'lane_now'"
                            "   and ('enable_bitmapscan=off' = any (proconfig)) is not true")
             == "");
}

BOOST_AUTO_TEST_CASE(checkpoints_leave_out_no_lease_and_nothing_that_waits_whatever_is_open) {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    std::mt19937 random(seed);
    std::vector<player> players;
    for (int n = 0; n < 4; ++n)
      players.emplace_back(database.url(), random);
    for (int step = 0; step < 400; ++step) {
      players[random() % players.size()].move();
      // To everybody, each with what its own transaction has done.
      for (auto& one : players)
        if (!one.sees_all())
          BOOST_FAIL("seed " << seed << ", step " << step);
    }
    for (auto& one : players)
      one.end(false);
  }
  BOOST_TEST(count("checkpoint") == 2); // each replaces the one before
  BOOST_TEST(std::stoi(database.value("select max(nth) from troupe.checkpoint")) > 40);
}

BOOST_AUTO_TEST_CASE(lanes_that_an_older_program_makes_are_known_or_are_not_made) {
  const auto make = [&](const std::string& shard) {
    at.ask(
        text("insert into troupe.lane (queue, priority, shard) values ('old', 0, " + shard + ")"));
  };
  make("3");
  BOOST_TEST(database.value("select count(*) from troupe.known_lane where queue = 'old'") == "1");
  BOOST_CHECK_EXCEPTION(make("3"), refused,
                        [](const refused& no) { return no.why.code == errc::retry; });
  const auto id = at.enqueue(job_spec{.kind = "noop", .queue = "old"});
  BOOST_TEST((at.claim(1, "old").jobs.at(0)->id == id));
}

BOOST_AUTO_TEST_SUITE_END()
