// Pause, concurrency and rates of queues: what claims hand out, which permits nodes hold, and what
// becomes of both when nodes give back, leave or die.
#include "tests/db/two_nodes.hpp"

#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct queues_database : two_nodes {
  int permits() const {
    return std::stoi(database.value("select coalesce(sum(permits), 0) from troupe.permit"));
  }
  int permits_of(node_id node) const {
    return std::stoi(
        database.value("select coalesce(sum(permits), 0) from troupe.permit where node = "
                       + std::to_string(node.value)));
  }
  /// Who was refused permits wants them for as long as the test takes.
  void keep_wanting() const {
    database.exec("update troupe.permit set wanted_at = clock_timestamp() + interval '1 hour' "
                  "where wanted_at is not null");
  }
  /// For the rates of all queues.
  void pass(std::chrono::minutes time) const {
    database.exec("update troupe.queue set rate_at = rate_at - interval '"
                  + std::to_string(time.count()) + " min'");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(pausing, queues_database)

BOOST_AUTO_TEST_CASE(a_paused_queue_hands_out_nothing_and_what_runs_goes_on) {
  const auto ids = at.enqueue_many(10);
  const auto running = at.claim(4);
  at.pause();
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(other.claim_for(10, 10, 0).jobs.empty());
  BOOST_TEST(at.finish(running).fenced.empty());
  BOOST_TEST(at.state(ids[9]) == "available");
  at.resume();
  BOOST_TEST(everything(other).size() == 6U);
}

BOOST_AUTO_TEST_CASE(a_queue_may_be_paused_before_it_has_a_job_and_others_are_not_touched) {
  at.pause("later");
  at.enqueue_many(2, "later");
  at.enqueue_many(2, "default");
  BOOST_TEST(at.claim(10, "later").jobs.empty());
  BOOST_TEST(at.claim(10).jobs.size() == 2U);
}

BOOST_AUTO_TEST_CASE(the_pulse_names_paused_queues_and_no_work_in_them) {
  at.enqueue_many(1);
  at.pause();
  auto told = at.beat();
  BOOST_TEST(told.queues.empty());
  BOOST_TEST(told.paused == std::vector<std::string>{"default"}, boost::test_tools::per_element());
  at.resume();
  told = at.beat();
  BOOST_TEST(told.queues == std::vector<std::string>{"default"}, boost::test_tools::per_element());
  BOOST_TEST(told.paused.empty());
}

BOOST_AUTO_TEST_CASE(a_pause_waits_for_the_claim_on_its_way_and_the_next_claim_for_the_pause) {
  let_wait("pause_queue(text)"); // or it goes on without the claim
  at.enqueue_many(1000);
  desk third(database.url());
  third.join("three");
  at.begin();
  BOOST_TEST(at.claim(1).jobs.size() == 1U);
  other.send(db::pause_query({"default", true}));
  BOOST_REQUIRE(other.waits(database));
  third.send(db::claim_query({third.node, "default", 1}));
  BOOST_REQUIRE(third.waits(database));
  at.commit();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(db::decode_claimed(std::get<db::result>(third.later()), "default").jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_claim_in_a_long_transaction_does_not_keep_a_queue_from_being_paused) {
  at.enqueue_many(10);
  at.begin();
  at.claim(1);
  other.pause(); // after the two seconds that it waits
  BOOST_TEST(other.claim().jobs.empty());
  at.commit();
  BOOST_TEST(at.claim().jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_pause_is_counted_once_and_keeps_its_time) {
  at.pause();
  const auto first = *at.queue();
  at.pause();
  BOOST_TEST((at.queue()->paused_at == first.paused_at));
  BOOST_TEST(at.queue()->version == 1);
  at.resume();
  at.resume();
  BOOST_TEST(at.queue()->version == 2);
  BOOST_TEST(!at.queue()->paused_at.has_value());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(looking, queues_database)

BOOST_AUTO_TEST_CASE(a_queue_shows_what_waits_and_what_runs) {
  BOOST_TEST(!at.queue("nowhere").has_value());
  at.enqueue_many(7);
  const auto ids = at.enqueue_many(3);
  at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  at.cancel(ids[2]);
  const auto running = at.claim(2);
  auto seen = *at.queue();
  BOOST_TEST(seen.waiting == 7);
  BOOST_TEST(seen.running == 2);
  BOOST_TEST(seen.version == 0);
  BOOST_TEST(!seen.concurrency.has_value());
  at.finish(running);
  seen = *at.queue();
  BOOST_TEST(seen.waiting == 7);
  BOOST_TEST(seen.running == 0);
}

BOOST_AUTO_TEST_CASE(jobs_of_a_writer_that_was_open_when_the_cursor_passed_it_wait_too) {
  other.begin();
  other.enqueue_many(5);
  at.enqueue_many(20);
  while (!at.claim(100).jobs.empty())
    ;
  other.commit();
  BOOST_TEST(at.queue()->waiting == 5);
}

BOOST_AUTO_TEST_CASE(waiting_jobs_are_counted_to_the_last) {
  at.enqueue_many(12'345);
  BOOST_TEST(at.queue()->waiting == 12'345);
}

BOOST_AUTO_TEST_CASE(queues_are_listed_by_name_and_by_pages) {
  for (const auto* name : {"c", "a", "b"})
    at.enqueue_many(1, name);
  at.limit(3, "d");
  auto page = at.queues({"", 3});
  BOOST_REQUIRE(page.queues.size() == 3U);
  BOOST_TEST(page.queues[0].name == "a");
  BOOST_TEST(page.queues[2].name == "c");
  BOOST_REQUIRE(page.next.has_value());
  page = at.queues({*page.next, 3});
  BOOST_REQUIRE(page.queues.size() == 1U);
  BOOST_TEST(page.queues[0].name == "d");
  BOOST_TEST(*page.queues[0].concurrency == 3);
  BOOST_TEST(!page.next.has_value());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(limiting, queues_database)

BOOST_AUTO_TEST_CASE(who_claims_by_sql_gets_no_more_than_the_limit_until_it_finishes) {
  at.limit(3);
  at.enqueue_many(10);
  const auto first = at.claim(2);
  BOOST_TEST(first.jobs.size() == 2U);
  BOOST_TEST(other.claim(5).jobs.size() == 1U);
  BOOST_TEST(at.claim(5).jobs.empty());
  const auto finish = [&](std::size_t which) {
    const auto& run = *first.jobs[which];
    const auto sql = "select troupe.finish(" + std::to_string(at.node.value) + ", '{}', '{"
                     + std::to_string(first.lease.value) + "}', true, '{"
                     + std::to_string(first.lease.value) + "}', '{" + std::to_string(run.id.value)
                     + "}', '{1}', '{1}', '{0}', '{0}', '{null}', '{null}', '{0}')";
    database.exec(sql);
  };
  finish(0);
  BOOST_TEST(permits() == 2);
  BOOST_TEST(other.claim(5).jobs.size() == 1U);
  BOOST_TEST(permits() == 3);
  finish(1);
  BOOST_TEST(permits_of(at.node) == 0);
}

BOOST_AUTO_TEST_CASE(a_node_gets_permits_for_what_it_can_run_and_jobs_ahead_in_proportion) {
  at.limit(5);
  at.enqueue_many(500);
  const auto one = at.claim_for(96, 16, 0); // 16 slots and 80 ahead: 30 for the 5 that may run
  BOOST_TEST(one.jobs.size() == 30U);
  BOOST_REQUIRE(one.permits.has_value());
  BOOST_TEST(one.permits->count == 5);
  BOOST_TEST(other.claim_for(96, 16, 0).jobs.empty());
  at.finish(one);
  BOOST_TEST(permits() == 5); // it keeps them for the jobs that come next
  const auto two = at.claim_for(96, 16, 0);
  BOOST_TEST(two.jobs.size() == 30U);
  BOOST_TEST(two.permits->count == 5);
}

BOOST_AUTO_TEST_CASE(a_node_with_few_jobs_takes_few_permits) {
  at.limit(10);
  at.enqueue_many(2);
  BOOST_TEST(at.claim_for(96, 16, 0).permits->count <= 2);
}

BOOST_AUTO_TEST_CASE(permits_that_are_given_back_are_there_for_others) {
  at.limit(4);
  at.enqueue_many(100);
  const auto mine = at.claim_for(4, 4, 0);
  BOOST_TEST(mine.permits->count == 4);
  BOOST_TEST(other.claim_for(4, 4, 0).jobs.empty());
  const auto left = at.keep({1, mine.permits->change});
  BOOST_TEST(left.count == 1);
  BOOST_TEST(left.change > mine.permits->change);
  BOOST_TEST(other.claim_for(4, 4, 0).permits->count == 3);
  BOOST_TEST(permits() == 4);
}

BOOST_AUTO_TEST_CASE(permits_are_given_back_once_however_late_the_question_arrives) {
  at.limit(4);
  at.enqueue_many(100);
  const auto first = at.claim_for(2, 2, 0);
  const auto more = at.claim_for(4, 4, 2);
  BOOST_TEST(more.permits->count == 4);
  const auto answer = at.keep({1, first.permits->change}); // sent before the second claim
  BOOST_TEST(answer.count == 4);
  BOOST_TEST(answer.change == more.permits->change);
}

BOOST_AUTO_TEST_CASE(the_permits_of_a_dead_node_are_free_with_its_rescue) {
  at.limit(3);
  at.enqueue_many(10);
  other.claim_for(3, 3, 0);
  make_old(other.node);
  BOOST_TEST(at.claim_for(3, 3, 0).jobs.empty());
  at.rescue(other.node);
  BOOST_TEST(permits() == 0);
  BOOST_TEST(at.claim_for(3, 3, 0).jobs.size() > 0U);
  BOOST_CHECK_THROW(other.claim_for(3, 3, 0), refused);
  BOOST_TEST(
      other.finish(finish_runs{other.node, {}, {}, {{"default", {3, 1}}}}).permits.at(0).count
      == 0);
}

BOOST_AUTO_TEST_CASE(the_permits_of_a_node_that_leaves_are_free_at_once) {
  at.limit(3);
  at.enqueue_many(3);
  other.finish(other.claim_for(3, 3, 0));
  BOOST_TEST(permits() > 0);
  other.leave();
  BOOST_TEST(permits() == 0);
}

BOOST_AUTO_TEST_CASE(a_node_that_was_refused_makes_the_others_keep_their_share_only) {
  at.limit(5);
  at.enqueue_many(100);
  BOOST_TEST(at.claim_for(16, 16, 0).permits->count == 5);
  BOOST_TEST(at.beat().caps.empty()); // nobody else wants any
  BOOST_TEST(other.claim_for(16, 16, 0).jobs.empty());
  keep_wanting();
  const auto caps = at.beat().caps;
  BOOST_REQUIRE(caps.size() == 1U);
  BOOST_TEST(caps[0].queue == "default");
  BOOST_TEST(caps[0].most == 3);         // the first of two
  BOOST_TEST(other.beat().caps.empty()); // it has none
}

BOOST_AUTO_TEST_CASE(a_lowered_limit_hands_out_nothing_and_tells_each_node_its_share) {
  at.limit(8);
  at.enqueue_many(200);
  const auto one = at.claim_for(4, 4, 0);
  const auto two = other.claim_for(4, 4, 0);
  at.limit(3);
  BOOST_TEST(at.claim_for(4, 4, 0).jobs.empty());
  BOOST_TEST(at.beat().caps.at(0).most == 2);
  BOOST_TEST(other.beat().caps.at(0).most == 1);
  at.keep({2, one.permits->change});
  BOOST_TEST(permits() == 6);
  BOOST_TEST(at.claim_for(4, 4, 0).jobs.empty()); // not until the other has given back, too
  other.keep({1, two.permits->change});
  BOOST_TEST(at.claim_for(4, 2, 0).permits->count == 2);
  BOOST_TEST(permits() == 3);
}

BOOST_AUTO_TEST_CASE(without_its_limit_a_queue_needs_no_permits) {
  at.limit(1);
  at.enqueue_many(10);
  BOOST_TEST(at.claim_for(1, 1, 0).permits->count == 1);
  at.limit(std::nullopt);
  const auto rest = at.claim_for(9, 9, 1);
  BOOST_TEST(rest.jobs.size() > 0U);
  BOOST_TEST(!rest.permits.has_value());
  BOOST_TEST(permits() == 0);
}

BOOST_AUTO_TEST_CASE(a_lease_that_is_adopted_tells_the_permits_that_came_with_it) {
  at.limit(2);
  at.enqueue_many(10);
  const auto lost = at.claim_for(2, 2, 0);
  const auto found = at.adopt(lost.lease);
  BOOST_REQUIRE(found.permits.has_value());
  BOOST_TEST(found.permits->count == 2);
  BOOST_TEST(found.permits->change == lost.permits->change);
}

BOOST_AUTO_TEST_CASE(two_claims_at_once_cannot_both_take_the_last_permit) {
  at.limit(3);
  at.enqueue_many(2000);
  at.begin();
  BOOST_TEST(at.claim_for(2, 2, 0).permits->count == 2);
  other.send(db::claim_query({other.node, "default", 4, 4, 0}));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  const auto late = db::decode_claimed(std::get<db::result>(other.later()), "default");
  BOOST_TEST(late.permits->count == 1);
  BOOST_TEST(permits() == 3);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_a_limit_is_refused) {
  BOOST_CHECK_THROW(at.limit(0), refused);
  BOOST_CHECK_THROW(at.limit(-1), refused);
  BOOST_CHECK_THROW(at.limit(3, "no such name"), refused);
  BOOST_CHECK_THROW(at.pause(""), refused);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(rating, queues_database)

// An hour for a job, so that no time passes but what a test says.
BOOST_AUTO_TEST_CASE(the_burst_comes_at_once_and_then_one_job_in_its_time) {
  at.limit_rate(job_rate{1, 1h, 5});
  at.enqueue_many(100);
  BOOST_TEST(at.claim(3).jobs.size() == 3U);
  BOOST_TEST(other.claim_for(50, 10, 0).jobs.size() == 2U);
  const auto none = at.claim(10);
  BOOST_TEST(none.jobs.empty());
  BOOST_REQUIRE(none.wait.has_value());
  BOOST_TEST((*none.wait > 59min && *none.wait <= 1h));
  pass(59min);
  BOOST_TEST(at.claim(10).jobs.empty());
  pass(2min);
  BOOST_TEST(at.claim(10).jobs.size() == 1U);
  BOOST_TEST(at.claim(10).jobs.empty());
  pass(1000h); // the burst is full again, and no fuller
  BOOST_TEST(at.claim(10).jobs.size() == 5U);
}

BOOST_AUTO_TEST_CASE(however_time_goes_no_more_come_than_burst_and_rate_allow) {
  std::mt19937 random(17);
  const job_rate rate{7, 24h, 4};
  at.limit_rate(rate);
  at.enqueue_many(3000);
  double allowed = rate.burst; // of the model: a bucket that fills
  for (int i = 0; i < 400; ++i) {
    const auto time = std::chrono::minutes{random() % 600};
    pass(time);
    allowed = std::min<double>(rate.burst, allowed + static_cast<double>(time.count()) * 7 / 1440);
    const int wanted = 1 + static_cast<int>(random() % 6);
    auto& one = random() % 2 ? at : other;
    const auto got = static_cast<int>(one.claim_for(wanted, wanted, 0).jobs.size());
    // The test itself takes a moment: a job may be allowed that the model has at 0.99.
    BOOST_REQUIRE(got >= std::min<int>(wanted, static_cast<int>(allowed - 0.01)));
    BOOST_REQUIRE(got <= allowed + 0.01);
    allowed -= got;
  }
}

BOOST_AUTO_TEST_CASE(nothing_of_a_rated_queue_is_claimed_ahead) {
  at.limit_rate(job_rate{1000, 1ms, 1000});
  at.enqueue_many(200);
  BOOST_TEST(at.claim_for(96, 16, 0).jobs.size() == 16U);
  BOOST_TEST(at.claim_for(80, 16, 13).jobs.size() == 3U);
  BOOST_TEST(at.claim_for(80, 16, 16).jobs.empty());
}

BOOST_AUTO_TEST_CASE(rate_and_concurrency_hold_together) {
  at.limit_rate(job_rate{1, 1h, 6});
  at.limit(4);
  at.enqueue_many(200);
  const auto first = at.claim_for(96, 16, 0);
  BOOST_TEST(first.jobs.size() == 4U);
  BOOST_TEST(first.permits->count == 4);
  at.finish(first);
  BOOST_TEST(at.claim_for(96, 16, 0).jobs.size() == 2U);
  BOOST_TEST(at.claim_for(96, 16, 2).jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_queue_whose_rate_is_used_up_is_not_named_by_the_pulse) {
  at.limit_rate(job_rate{1, 1h, 1});
  at.enqueue_many(2);
  BOOST_TEST(at.beat().queues.size() == 1U);
  at.claim(1);
  BOOST_TEST(at.beat().queues.empty());
  pass(1h);
  BOOST_TEST(at.beat().queues.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_rate_that_is_changed_or_removed_holds_from_the_next_claim_on) {
  at.limit_rate(job_rate{1, 24h, 1});
  at.enqueue_many(100);
  BOOST_TEST(at.claim(10).jobs.size() == 1U);
  BOOST_TEST(at.claim(10).jobs.empty());
  at.limit_rate(job_rate{1, 1h, 3});
  BOOST_TEST(at.claim(10).jobs.size() == 3U);
  at.limit_rate(std::nullopt);
  const auto rest = at.claim(10);
  BOOST_TEST(rest.jobs.size() == 10U);
  BOOST_TEST(!rest.wait.has_value());
  BOOST_TEST(!at.queue()->rate.has_value());
}

BOOST_AUTO_TEST_CASE(a_claim_that_is_rolled_back_used_nothing_up) {
  at.limit_rate(job_rate{1, 1h, 2});
  at.enqueue_many(10);
  at.begin();
  BOOST_TEST(at.claim(2).jobs.size() == 2U);
  at.rollback();
  BOOST_TEST(at.claim(2).jobs.size() == 2U);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_a_rate_is_refused) {
  BOOST_CHECK_THROW(at.limit_rate(job_rate{0, 1s, 1}), refused);
  BOOST_CHECK_THROW(at.limit_rate(job_rate{1, 0ms, 1}), refused);
  BOOST_CHECK_THROW(at.limit_rate(job_rate{1, 25h, 1}), refused);
  BOOST_CHECK_THROW(at.limit_rate(job_rate{1001, 1ms, 1}), refused);
}

BOOST_AUTO_TEST_SUITE_END()
