// Partitions of entries: dropped when every cursor has passed them, and never with one that a claim
// may still hand out.
#include "tests/db/two_nodes.hpp"

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

using namespace troupe;
using namespace troupe::tests;

namespace {

bool is_ready(const std::future<upkept>& what) {
  return what.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
}

struct partitioned : two_nodes {
  /// A batch is entered as five runs.
  static constexpr int batch = 1024;
  /// So many more entries go into the partitions that a new database has.
  void come_near_the_end(int left) {
    database.exec("select setval('troupe.ready_seq_seq', " + std::to_string(end - 1 - left) + ")");
  }
  /// Small ones above those that there are.
  void make_small(int size, int count) {
    database.exec("select troupe.make_partitions(" + std::to_string(size) + ", "
                  + std::to_string(count) + ")");
  }
  /// Those of the queue, passed by every cursor: what a transaction finds it does not make for
  /// itself.
  void make_lanes() {
    at.enqueue_many(batch);
    everything(at);
  }
  /// Whether `other` waits for the table. Its patience is short, so no connection is made to ask.
  bool waits_for(const std::string& table) {
    return watcher
        .ask(db::make_query("select exists (select from pg_locks where not granted and pid = $1 "
                            "and relation = $2::text::regclass)",
                            other_pid, "troupe." + table))
        .one()
        .get<bool>(0);
  }
  /// Lets `play` have a round, which may miss the moment that it is about, until three have met it.
  template<class Round>
  bool meets_three_times(Round play) {
    int met = 0;
    return await_until([&] { return (met += play() ? 1 : 0) == 3; });
  }
  bool is_there(std::int64_t low) {
    return database.value("select to_regclass('troupe.ready_" + std::to_string(low)
                          + "') is not null")
           == "t";
  }
  static constexpr std::int64_t second = 5'000'001, end = 10'000'001; ///< where partitions begin
  desk watcher{database.url()};
  int other_pid = other.on.backend_pid();
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(entries, partitioned)

BOOST_AUTO_TEST_CASE(a_partition_that_every_cursor_has_passed_is_dropped_and_no_other) {
  come_near_the_end(2);
  make_small(1000, 3);
  const auto ids = at.enqueue_many(batch);
  BOOST_TEST(at.keep_up().partitions_dropped == 1); // the first, which was jumped over
  BOOST_TEST(!is_there(1));
  BOOST_TEST(at.keep_up().partitions_dropped == 0); // the second has jobs that wait
  BOOST_TEST(everything(at) == set_of(ids), boost::test_tools::per_element());
  BOOST_TEST(at.keep_up().partitions_dropped == 1);
  BOOST_TEST(!is_there(second));
  BOOST_TEST(is_there(end)); // more will come to it
  BOOST_TEST(at.keep_up().partitions_dropped == 0);
  const auto more = at.enqueue_many(20);
  BOOST_TEST(everything(at) == set_of(more), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_partition_with_entries_of_an_open_writer_stays_until_they_are_handed_out) {
  make_lanes();
  come_near_the_end(6);
  make_small(10'000, 3);
  desk writer(database.url());
  writer.begin();
  const auto late = writer.enqueue_many(batch);
  const auto early = at.enqueue_many(batch);
  BOOST_TEST(everything(at) == set_of(early), boost::test_tools::per_element());
  BOOST_TEST(at.keep_up().partitions_dropped == 0);
  writer.commit();
  BOOST_TEST(at.keep_up().partitions_dropped == 1); // the first
  BOOST_TEST(is_there(second));
  BOOST_TEST(everything(at) == set_of(late), boost::test_tools::per_element());
  BOOST_TEST(at.keep_up().partitions_dropped == 1);
  BOOST_TEST(!is_there(second));
}

BOOST_AUTO_TEST_CASE(
    what_a_writer_commits_while_its_partition_is_about_to_be_dropped_is_handed_out) {
  make_lanes();
  make_small(100'000, 3);
  desk writer(database.url());
  BOOST_TEST(meets_three_times([&] {
    come_near_the_end(6);
    writer.begin();
    const auto late = writer.enqueue_many(batch);
    database.exec("select setval('troupe.ready_seq_seq', " + std::to_string(end + 1000) + ")");
    at.enqueue_many(batch);
    everything(at);
    auto dropping = std::async(std::launch::async, [&] { return other.keep_up(); });
    const bool met = await_until([&] { return waits_for("ready") || is_ready(dropping); })
                     && !is_ready(dropping);
    writer.commit();
    dropping.get();
    BOOST_REQUIRE(is_there(second));
    BOOST_TEST(everything(at) == set_of(late), boost::test_tools::per_element());
    return met;
  }));
}

BOOST_AUTO_TEST_CASE(who_enters_more_while_the_next_partition_is_made_does_not_hinder_it) {
  make_lanes();
  desk writer(database.url());
  BOOST_TEST(meets_three_times([&] {
    database.exec("select setval('troupe.ready_seq_seq', max(high) + 10) from troupe.partition"
                  " where what = 'entries'");
    writer.begin();
    auto late = set_of(writer.enqueue_many(batch));
    auto making = std::async(std::launch::async, [&] { return other.keep_up(); });
    const bool waited = await_until([&] { return waits_for("ready_rest") || is_ready(making); })
                        && !is_ready(making);
    late.merge(set_of(writer.enqueue_many(batch)));
    writer.commit();
    const bool met = making.get().partitions_made > 0 && waited;
    BOOST_TEST(everything(at) == late, boost::test_tools::per_element());
    return met;
  }));
}

BOOST_AUTO_TEST_CASE(who_enters_what_is_of_a_partition_that_is_just_made_is_to_try_again) {
  make_lanes();
  come_near_the_end(0);
  other.begin();
  other.ask(db::make_query("select troupe.make_partitions()"));
  const enqueue_jobs one{{job_spec{.kind = "noop"}}};
  at.send(db::enqueue_query(one));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_TEST(at.later_code() == errc::retry);
  const auto id = at.enqueue();
  BOOST_TEST(everything(at) == set_of({id}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_claim_that_is_rolled_back_finds_its_entries_again) {
  come_near_the_end(2);
  make_small(1000, 3);
  const auto ids = at.enqueue_many(batch);
  at.begin();
  for (bool more = true; more;)
    more = !at.claim(100).jobs.empty();
  BOOST_TEST(other.keep_up().partitions_dropped == 0);
  at.rollback();
  other.keep_up();
  BOOST_TEST(is_there(second));
  BOOST_TEST(everything(at) == set_of(ids), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_snapshot_for_all_is_no_ground_to_drop_anything) {
  come_near_the_end(2);
  make_small(1000, 3);
  at.enqueue_many(batch);
  everything(at);
  const db::statement begin{"begin_rr", "begin isolation level repeatable read"};
  at.ask(db::query{begin});
  BOOST_TEST(at.keep_up().partitions_dropped == 0);
  at.commit();
  BOOST_TEST(at.keep_up().partitions_dropped == 2);
}

BOOST_AUTO_TEST_CASE(beside_writers_and_claims_everything_is_handed_out_once) {
  constexpr int writers = 3, rounds = 60, each = 30;
  come_near_the_end(10);
  make_small(4, 60);
  std::mutex guard;
  std::multiset<std::int64_t> wanted, given;
  std::atomic<int> writing{writers};
  std::atomic<int> dropped{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < writers; ++i)
      threads.emplace_back([&] {
        desk mine(database.url());
        for (int round = 0; round < rounds; ++round) {
          // Where it would go is made just then: the server takes back what it had in hand.
          const auto ids = insist([&] {
            mine.begin();
            try {
              return set_of(mine.enqueue_many(each));
            } catch (const refused&) {
              mine.rollback();
              throw;
            }
          });
          if (round % 5 == 4) {
            mine.rollback();
            continue;
          }
          mine.commit();
          const std::scoped_lock lock(guard);
          wanted.insert(ids.begin(), ids.end());
        }
        --writing;
      });
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        desk mine(database.url());
        mine.join("claimer" + std::to_string(i));
        while (writing > 0) {
          const auto some = everything(mine);
          const std::scoped_lock lock(guard);
          given.insert(some.begin(), some.end());
        }
      });
    threads.emplace_back([&] {
      desk mine(database.url());
      while (writing > 0)
        dropped += mine.keep_up().partitions_dropped;
    });
  }
  given.merge(everything(at));
  BOOST_TEST(difference(given, wanted) == "");
  dropped += at.keep_up().partitions_dropped;
  BOOST_TEST(dropped > 10);
}

BOOST_AUTO_TEST_SUITE_END()
