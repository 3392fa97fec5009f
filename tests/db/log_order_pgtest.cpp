// Lines of a job's log are numbered as their transactions commit: whoever goes on after the last
// line he has seen misses none, however many write at once and however long they take.
#include "db/report_statements.hpp"
#include "tests/db/desk.hpp"

#include <atomic>
#include <mutex>
#include <random>
#include <thread>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

using texts = std::vector<std::string>;

/// One lease with two runs, and somebody who follows their logs.
struct following : jobs_database {
  std::vector<job_id> ids = at.enqueue_many(2);
  claimed_jobs held = at.claim(2);
  std::map<std::int64_t, std::int64_t> last;

  run_key key(std::size_t nth = 0) const {
    return {held.lease, held.jobs.at(nth)->id, held.jobs.at(nth)->attempt};
  }
  query in_sql(const std::string& text, std::size_t nth = 0) const {
    query q{statement_of_log};
    q.bind(key(nth).lease.value).bind(key(nth).job.value).bind(text);
    return q;
  }
  static query by_engine(const run_key& run, const std::string& text) {
    return report_query({{}, {{run, line_level::info, text}}});
  }
  /// What came since the last look.
  texts follow(std::size_t nth = 0) {
    const auto id = key(nth).job;
    const get_log question{id, last[id.value], 1000};
    texts out;
    for (auto& line : decode_log(at.ask(log_query(question)), question).lines) {
      last[id.value] = line.number;
      out.push_back(std::move(line.text));
    }
    return out;
  }

private:
  static inline const statement statement_of_log{"log_it", "select troupe.log($1, $2, 1, $3)"};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(lines_in_commit_order, following)

BOOST_AUTO_TEST_CASE(a_line_that_was_written_first_and_committed_last_is_not_missed) {
  desk slow{database.url()};
  desk quick{database.url()};
  slow.begin();
  slow.ask(in_sql("written first"));
  quick.begin();
  quick.ask(in_sql("written second"));
  quick.commit();
  BOOST_TEST(follow() == texts{"written second"});
  slow.commit();
  BOOST_TEST(follow() == texts{"written first"});
  BOOST_TEST(count("log_draft") == 0);
}

BOOST_AUTO_TEST_CASE(what_the_engine_writes_is_not_missed_either) {
  desk slow{database.url()};
  desk quick{database.url()};
  slow.begin(); // as one whose commit takes long
  slow.ask(by_engine(key(), "first"));
  quick.send(by_engine(key(), "second"));
  BOOST_TEST(quick.waits(database));
  slow.commit();
  BOOST_TEST((quick.later_code() == errc::none));
  quick.ask(by_engine(key(), "third"));
  BOOST_TEST(follow() == (texts{"first", "second", "third"}));
}

BOOST_AUTO_TEST_CASE(a_transaction_that_lasts_holds_up_nobody) {
  desk slow{database.url()};
  slow.begin();
  slow.ask(in_sql("of the transaction"));
  desk other{database.url()};
  other.ask(make_query("set lock_timeout = '1ms'"));
  other.ask(in_sql("beside it")); // which a worker may well say while its own transaction is open
  other.ask(by_engine(key(), "by the engine"));
  other.ask(by_engine(key(1), "of another run of its lease"));
  auto only = other.finishing(held, completed(), std::chrono::hours{1}, false);
  only.runs.erase(only.runs.begin());
  only.node = at.node;
  BOOST_TEST(other.finish(only).fenced.empty());
  slow.commit();
  BOOST_TEST(follow() == (texts{"beside it", "by the engine", "of the transaction"}));
  BOOST_TEST(follow(1) == texts{"of another run of its lease"});
}

BOOST_AUTO_TEST_CASE(what_is_rolled_back_was_never_said) {
  desk mine{database.url()};
  mine.begin();
  mine.ask(in_sql("kept"));
  mine.ask(make_query("savepoint a"));
  mine.ask(in_sql("undone"));
  mine.ask(make_query("rollback to a"));
  mine.ask(in_sql("kept as well"));
  mine.commit();
  mine.begin();
  mine.ask(in_sql("undone"));
  mine.rollback();
  BOOST_TEST(follow() == (texts{"kept", "kept as well"}));
}

BOOST_AUTO_TEST_CASE(lines_are_kept_with_the_outcome_of_the_same_transaction_and_go_with_the_job) {
  desk mine{database.url()};
  mine.begin();
  mine.ask(in_sql("the last word"));
  mine.ask(in_sql("of one that is deleted", 1));
  auto done = mine.finishing(held, completed()); // and with them goes the lease
  done.node = at.node;
  BOOST_TEST(mine.finish(done).fenced.empty());
  mine.remove(key(1).job);
  mine.commit();
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(follow() == texts{"the last word"});
  BOOST_TEST(count("job_log") == 1);
  BOOST_TEST(count("log_draft") == 0);
  BOOST_TEST(database.value("select troupe.log(" + std::to_string(held.lease.value) + ", "
                            + std::to_string(key().job.value) + ", 1, 'late')")
             == "f");
}

BOOST_AUTO_TEST_CASE(those_who_wrote_in_opposite_order_do_not_wait_for_each_other) {
  const auto more = at.enqueue();
  const auto second = at.claim_one();
  BOOST_REQUIRE(second.jobs.at(0)->id == more);
  desk one{database.url()};
  desk other{database.url()};
  auto both = held;
  for (int round = 0; round < 20; ++round) {
    const auto say = [&](desk& by, const claimed_jobs& of) {
      held = of;
      by.ask(in_sql("line"));
    };
    one.begin();
    other.begin();
    say(one, both);
    say(one, second);
    say(other, second);
    say(other, both);
    one.send(query{commit_statement});
    other.send(query{commit_statement});
    BOOST_TEST((one.later_code() == errc::none));
    BOOST_TEST((other.later_code() == errc::none));
  }
}

BOOST_AUTO_TEST_CASE(a_transaction_that_wants_its_constraints_at_once_gets_them) {
  desk mine{database.url()};
  mine.begin();
  mine.ask(in_sql("before"));
  mine.ask(make_query("set constraints all immediate"));
  mine.ask(in_sql("after"));
  mine.commit();
  BOOST_TEST(follow() == (texts{"before", "after"}));
}

namespace {

struct log_play : following {
  std::atomic<bool> stop{false};
  std::mutex guard;
  texts said;
  texts problems;

  std::jthread run(unsigned seed) {
    return std::jthread([this, seed] {
      try {
        write(seed);
      } catch (const std::exception& problem) {
        const std::lock_guard lock(guard);
        problems.emplace_back(problem.what());
      }
    });
  }
  bool failed() {
    const std::lock_guard lock(guard);
    return !problems.empty();
  }

private:
  /// Transactions of some lines each, of both kinds of writers.
  void write(unsigned seed) {
    std::mt19937 random{seed};
    desk mine{database.url()};
    for (int turn = 0; !stop; ++turn) {
      texts lines;
      const bool undone = random() % 5 == 0;
      const bool in_own = random() % 3 != 0;
      if (in_own || undone)
        mine.begin();
      for (auto left = in_own ? 1 + random() % 3 : 1; left > 0; --left) {
        lines.push_back(std::to_string(seed) + '/' + std::to_string(turn) + '/'
                        + std::to_string(left));
        mine.ask(in_own ? in_sql(lines.back()) : by_engine(key(), lines.back()));
      }
      if (undone)
        mine.rollback();
      else if (in_own)
        mine.commit();
      if (undone)
        continue;
      const std::lock_guard lock(guard);
      said.insert(said.end(), lines.begin(), lines.end());
    }
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(a_follower_of_many_writers_sees_every_line_once, log_play) {
  texts seen;
  const auto look = [&] {
    auto some = follow();
    seen.insert(seen.end(), some.begin(), some.end());
  };
  {
    std::vector<std::jthread> writers;
    for (unsigned i = 0; i < 4; ++i)
      writers.push_back(run(i));
    while (seen.size() < 1'500 && !failed())
      look();
    stop = true;
  }
  look();
  BOOST_TEST(problems == texts{}, boost::test_tools::per_element());
  std::sort(seen.begin(), seen.end());
  std::sort(said.begin(), said.end());
  BOOST_TEST(seen == said, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
