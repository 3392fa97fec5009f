// Changes of a queue that are made only while it stands at a version: nothing that somebody else
// has changed meanwhile is lost.
#include "tests/db/desk.hpp"

#include <deque>
#include <random>

using namespace troupe;
using namespace troupe::tests;

namespace {

bool is_stale(const refused& e) {
  return e.why.code == errc::stale;
}

struct versioned : jobs_database {
  versioned() {
    let_wait("stop_claims(text)");
    let_wait("expect_queue(text, bigint[])");
  }
  static limit_queue to(int concurrency, std::optional<queue_versions> only_at) {
    limit_queue ask{"q", std::optional{std::optional{concurrency}}};
    ask.only_at = std::move(only_at);
    return ask;
  }
  void limit(int concurrency, std::optional<queue_versions> only_at) {
    at.ask(db::limit_query(to(concurrency, std::move(only_at))));
  }
  std::int64_t stands_at() { return at.queue("q")->version; }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(queue_versions_of, versioned)

BOOST_AUTO_TEST_CASE(a_change_is_made_at_the_version_that_was_meant_and_at_no_other) {
  at.enqueue_many(1, "q");
  BOOST_TEST(stands_at() == 0);
  limit(2, queue_versions{{0}});
  BOOST_TEST(stands_at() == 1);
  BOOST_CHECK_EXCEPTION(limit(3, queue_versions{{0}}), refused, is_stale);
  BOOST_CHECK_EXCEPTION(limit(3, queue_versions{{0, 2, 7}}), refused, is_stale);
  BOOST_CHECK_EXCEPTION(limit(3, queue_versions{}), refused, is_stale); // no tag was one of ours
  BOOST_TEST(*at.queue("q")->concurrency == 2);
  limit(3, queue_versions{{7, 1}});
  BOOST_TEST(*at.queue("q")->concurrency == 3);
  limit(4, queue_versions{{}, true});
  BOOST_TEST(*at.queue("q")->concurrency == 4);
  limit(5, std::nullopt);
  BOOST_TEST(stands_at() == 4);
}

BOOST_AUTO_TEST_CASE(a_queue_that_is_not_there_stands_at_no_version) {
  for (const auto& versions : {queue_versions{{0}}, queue_versions{{}, true}})
    BOOST_CHECK_EXCEPTION(limit(2, versions), refused, is_stale);
  BOOST_TEST(!at.queue("q").has_value());
}

BOOST_AUTO_TEST_CASE(several_settings_changed_at_once_are_one_change_of_one_version) {
  limit(2, std::nullopt);
  auto ask = to(3, queue_versions{{1}});
  ask.max_waiting.emplace(10);
  ask.rate.emplace(job_rate{});
  at.ask(db::limit_query(ask));
  BOOST_TEST(*at.queue("q")->max_waiting == 10);
  ask.concurrency.emplace(4);
  ask.max_waiting.emplace(11);
  BOOST_CHECK_EXCEPTION(at.ask(db::limit_query(ask)), refused, is_stale);
  BOOST_TEST(*at.queue("q")->max_waiting == 10);
  BOOST_TEST(*at.queue("q")->concurrency == 3);
}

BOOST_AUTO_TEST_CASE(pauses_and_order_are_changes_like_limits) {
  at.enqueue_many(2, "q");
  at.ask(db::pause_query({"q", true, queue_versions{{0}}}));
  BOOST_TEST(stands_at() == 1);
  BOOST_CHECK_EXCEPTION(at.ask(db::pause_query({"q", false, queue_versions{{0}}})), refused,
                        is_stale);
  BOOST_TEST(at.queue("q")->paused_at.has_value());
  at.ask(db::pause_query({"q", false, queue_versions{{1}}}));
  at.ask(db::limit_query({.name = "q", .ordered = true, .only_at = queue_versions{{2}}}));
  at.claim_one("q"); // its row has a head now, which is no change
  BOOST_TEST(stands_at() == 3);
  at.ask(db::limit_query({.name = "q", .ordered = false, .only_at = queue_versions{{3}}}));
  BOOST_TEST(!at.queue("q")->ordered);
}

BOOST_AUTO_TEST_CASE(
    who_comes_second_waits_for_the_first_and_is_refused_also_where_there_was_no_row) {
  at.enqueue_many(1, "q");
  desk other{database.url()};
  for (const auto& first : {std::optional{queue_versions{{0}}}, std::optional<queue_versions>{}}) {
    const auto version = stands_at();
    at.begin();
    limit(static_cast<int>(version) + 10, first);
    other.send(db::limit_query(to(99, queue_versions{{version}})));
    BOOST_TEST(other.waits(database));
    at.commit();
    BOOST_TEST((other.later_code() == errc::stale));
    BOOST_TEST(*at.queue("q")->concurrency == version + 10);
  }
  // Whoever held it and gave it up has changed nothing.
  at.begin();
  limit(7, std::nullopt);
  other.send(db::limit_query(to(99, queue_versions{{2}})));
  BOOST_TEST(other.waits(database));
  at.rollback();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(*at.queue("q")->concurrency == 99);
}

BOOST_AUTO_TEST_CASE(of_increments_read_and_written_by_many_at_once_none_is_lost) {
  std::mt19937 random{20'261'129};
  const auto below = [&](std::size_t end) { return random() % end; };
  at.enqueue_many(1, "q");
  struct writer {
    explicit writer(const std::string& url) : with(url) {}
    desk with;
    std::int64_t version = 0;
    int read = 0;
    bool sent = false;
  };
  std::deque<writer> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back(database.url());
  int made = 0;
  int lost = 0;
  const auto collect = [&](writer& one) {
    const auto code = one.with.later_code();
    BOOST_TEST((code == errc::none || code == errc::stale));
    ++(code == errc::none ? made : lost);
    one.sent = false;
  };
  for (int step = 0; step < 900; ++step) {
    auto& one = writers[below(writers.size())];
    if (one.sent) {
      collect(one);
    } else if (below(2) == 0) {
      const auto queue = one.with.queue("q");
      one.version = queue->version;
      one.read = queue->concurrency.value_or(0);
    } else {
      one.with.send(db::limit_query(to(one.read + 1, queue_versions{{one.version}})));
      one.sent = true;
    }
  }
  for (auto& one : writers)
    if (one.sent)
      collect(one);
  BOOST_TEST(*at.queue("q")->concurrency == made);
  BOOST_TEST(stands_at() == made);
  BOOST_TEST(made > 50);
  BOOST_TEST(lost > 50);
}

BOOST_AUTO_TEST_SUITE_END()
