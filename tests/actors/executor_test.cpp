// EXECUTOR with its real RUNNERs over a STORE that the test answers for: what is claimed, when it
// is written, which leases are closed, what happens when answers are refused, lost or late.
#include "tests/actors/executor_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(claiming, executor_system)

BOOST_AUTO_TEST_CASE(nothing_is_claimed_before_the_node_has_joined) {
  wake("q");
  BOOST_TEST(in->claims.empty());
  join();
  BOOST_TEST(in->claims.size() == 1U);
  BOOST_TEST(in->claims.front().node == node_id{1});
  BOOST_TEST(in->claims.front().queue == "q");
}

BOOST_AUTO_TEST_CASE(a_claim_asks_for_slots_and_prefetch_and_only_slots_run) {
  join();
  wake("q");
  const queue_slots fresh{4};
  BOOST_TEST(in->claims.front().limit == 4 + fresh.prefetch());
  answer(in->claims, batch(lease_id{1}, in->claims.front().limit));
  BOOST_TEST(started.size() == 4U);
  BOOST_TEST(counters.running == 4U);
  BOOST_TEST(counters.backlog == static_cast<unsigned>(fresh.prefetch()));
  BOOST_TEST(in->claims.empty()); // full
}

BOOST_AUTO_TEST_CASE(no_more_is_claimed_ahead_than_the_node_was_told) {
  executor_system few{2};
  few.join();
  few.wake("q");
  BOOST_REQUIRE(few.in->claims.size() == 1U);
  BOOST_TEST(few.in->claims.front().limit == 4 + 2);
  few.answer(few.in->claims, executor_system::batch(lease_id{1}, 6));
  BOOST_TEST(few.started.size() == 4U);
  BOOST_TEST(few.counters.backlog == 2U);
}

BOOST_AUTO_TEST_CASE(a_queue_without_slots_is_left_to_others) {
  join();
  wake("none");
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_CASE(it_is_hungry_until_a_claim_comes_back_empty) {
  join();
  wake("q");
  answer(in->claims, batch(lease_id{1}, 1));
  BOOST_REQUIRE(in->claims.size() == 1U);
  answer(in->claims, batch(lease_id{2}, 1));
  BOOST_REQUIRE(in->claims.size() == 1U);
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(in->claims.empty());
  finish_all();
  answer_writes();
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_CASE(a_wake_during_a_claim_is_not_forgotten) {
  join();
  wake("q");
  wake("q");
  BOOST_TEST(in->claims.size() == 1U);
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(in->claims.size() == 1U);
  answer(in->claims, claimed_jobs{});
  BOOST_TEST(in->claims.empty());
}

BOOST_AUTO_TEST_CASE(a_refused_claim_waits_for_the_next_wake) {
  join();
  wake("q");
  refuse(in->claims, errc::unavailable);
  advance(5s);
  BOOST_TEST(in->claims.empty());
  wake("q");
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_CASE(claims_go_beside_outcomes_until_there_are_too_many_of_these) {
  join();
  wake("q");
  const auto capacity = in->claims.front().limit;
  for (int lease = 1; lease <= 2; ++lease) {
    BOOST_REQUIRE(in->claims.size() == 1U);
    answer(in->claims, batch(lease_id{lease}, capacity, lease * 1000));
    for (; ended_runs < started.size(); ++ended_runs) {
      advance(10ms); // so that what is claimed ahead stays the same
      finish(ended_runs);
    }
    BOOST_TEST(in->finishes.size() == 1U);
  }
  BOOST_TEST(in->claims.empty());
  answer_writes();
  BOOST_TEST(in->claims.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(writing, executor_system)

BOOST_AUTO_TEST_CASE(outcomes_gather_while_a_batch_is_being_written) {
  take(lease_id{1}, 4);
  finish(0);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 1U);
  BOOST_TEST(in->finishes.front().done.empty());
  finish(1);
  finish(2);
  finish(3);
  BOOST_TEST(in->finishes.size() == 1U);
  answer(in->finishes, finished_runs{});
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 3U);
  BOOST_TEST(in->finishes.front().done == std::vector{lease_id{1}},
             boost::test_tools::per_element());
  answer(in->finishes, finished_runs{});
  BOOST_TEST(in->finishes.empty());
  BOOST_TEST(counters.attempts_completed == 4U);
}

BOOST_AUTO_TEST_CASE(times_and_backoff_travel_with_the_outcome) {
  take(lease_id{1}, 1);
  advance(1500ms);
  finish(0, failed("x"));
  const auto& run = in->finishes.front().runs.at(0);
  BOOST_TEST(run.started_ago.count() == 1500);
  BOOST_TEST(run.finished_ago.count() == 0);
  BOOST_TEST((run.retry_in >= 750ms && run.retry_in <= 1250ms));
  finished_runs written;
  written.deferred = true;
  answer(in->finishes, written);
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() <= 1250ms));
  BOOST_TEST(counters.attempts_failed == 1U);
}

BOOST_AUTO_TEST_CASE(a_jobs_own_retry_policy_goes_before_its_kinds) {
  auto four = batch_of("fragile", lease_id{1}, 4);
  four.jobs[0]->retry = retry_policy::fixed(9s);
  four.jobs[1]->retry = retry_policy::none();
  four.jobs[2]->retry = retry_policy::none();
  four.jobs[1]->kind = four.jobs[2]->kind = "brief";
  take(four);
  finish(0, failed("x"));
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::failed));
  BOOST_TEST((in->finishes.front().runs.at(0).retry_in == 9s));
  finish(1, failed("x"));
  auto own = failed("x");
  own.retry_in = 7s;
  finish(2, own); // its handler knows better
  finish(3, failed("x"));
  answer(in->finishes, finished_runs{});
  const auto& others = in->finishes.front().runs;
  BOOST_TEST((others.at(0).result.kind == job_result::verdict::discarded));
  BOOST_TEST((others.at(1).result.kind == job_result::verdict::failed));
  BOOST_TEST((others.at(1).retry_in == 7s));
  BOOST_TEST((others.at(2).result.kind == job_result::verdict::discarded)); // as its kind says
}

BOOST_AUTO_TEST_CASE(a_kinds_retry_policy_says_when_or_that_no_attempt_follows) {
  take(batch_of("fragile", lease_id{1}, 2));
  finish(0, failed("x"));
  auto own = failed("x");
  own.retry_in = 7s;
  finish(1, own); // its handler knows better
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::discarded));
  BOOST_TEST(in->finishes.front().runs.at(0).result.error == "x");
  answer(in->finishes, finished_runs{});
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::failed));
  BOOST_TEST((in->finishes.front().runs.at(0).retry_in == 7s));
  answer(in->finishes, finished_runs{});
  BOOST_TEST(counters.attempts_discarded == 1U);
  take(batch_of("brief", lease_id{2}, 1));
  finish(2, failed("x"));
  BOOST_TEST((in->finishes.front().runs.at(0).retry_in == 3s));
}

BOOST_AUTO_TEST_CASE(the_slots_of_stuck_handlers_are_given_to_others) {
  auto six = batch_of("brief", lease_id{1}, 6); // four slots
  six.jobs[4]->kind = six.jobs[5]->kind = "hold";
  take(six);
  advance(200ms, 50ms);
  answer_writes(); // all four timed out, and go on
  BOOST_TEST(started.size() == 4U);
  BOOST_TEST(counters.running == 4U);
  advance(61s, 1s);
  answer_writes();
  BOOST_TEST(counters.stuck == 4U);
  BOOST_REQUIRE(started.size() == 6U);
  BOOST_TEST(counters.running == 2U);
  for (std::size_t i = 0; i < 4; ++i)
    finish(i, completed("late"));
  BOOST_TEST(counters.stuck == 0U);
  BOOST_TEST(counters.running == 2U);
  finish(4);
  finish(5);
  answer_writes();
  BOOST_TEST(counters.running == 0U);
  BOOST_TEST(counters.attempts_failed == 4U);
  BOOST_TEST(counters.attempts_completed == 2U);
  BOOST_TEST(closed_leases.size() == 1U);
  drain();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(a_drain_does_not_wait_for_stuck_handlers) {
  take(batch_of("brief", lease_id{1}, 1));
  advance(62s, 1s);
  answer_writes();
  drain();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(more_stuck_handlers_than_the_bound_keep_their_slots) {
  constexpr auto bound = executor_state::max_stuck;
  join();
  for (std::int64_t round = 1; started.size() < bound + 4; ++round) {
    wake("q");
    while (!in->claims.empty())
      answer(in->claims, in->claims.size() > 1 || counters.running > 0
                             ? claimed_jobs{}
                             : batch_of("brief", lease_id{round}, 4));
    advance(70s, 1s);
    answer_writes();
  }
  BOOST_TEST(counters.stuck == bound);
  BOOST_TEST(counters.running == 4U);
  finish(0); // one of those whose slots were given away
  BOOST_TEST(counters.stuck == bound - 1);
  BOOST_TEST(counters.running == 4U);
  finish(bound);
  BOOST_TEST(counters.running == 3U);
}

BOOST_AUTO_TEST_CASE(a_handlers_own_delay_is_kept_within_its_limits) {
  take(lease_id{1}, 3);
  auto soon = failed("x");
  soon.retry_in = 7s;
  auto never = failed("x");
  never.retry_in = std::chrono::milliseconds::max();
  finish(0, soon);
  finish(1, never);
  finish(2, snoozed(-5s));
  BOOST_TEST(in->finishes.front().runs.at(0).retry_in.count() == 7000);
  answer(in->finishes, finished_runs{});
  BOOST_TEST((in->finishes.front().runs.at(0).retry_in == limits::max_delay));
  BOOST_TEST(in->finishes.front().runs.at(1).retry_in.count() == 0);
}

BOOST_AUTO_TEST_CASE(long_errors_are_cut_between_characters_and_long_results_discarded) {
  take(lease_id{1}, 2);
  std::string text(limits::error_bytes - 1, 'x');
  text += "\xc3\xa4\xc3\xa4";
  finish(0, failed(text));
  BOOST_TEST(in->finishes.front().runs.at(0).result.error
             == std::string(limits::error_bytes - 1, 'x'));
  finish(1, completed(std::string(limits::result_bytes + 1, '1')));
  answer(in->finishes, finished_runs{});
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::discarded));
}

BOOST_AUTO_TEST_CASE(a_refused_batch_is_cut_until_the_poison_stands_alone) {
  take(lease_id{1}, 4);
  finish(0);
  finish(1, completed("poison"));
  finish(2);
  finish(3);
  answer(in->finishes, finished_runs{}); // the first one went alone
  std::set<std::int64_t> written;
  bool closed = false;
  bool replaced = false;
  for (int rounds = 0; rounds < 20 && !in->finishes.empty(); ++rounds) {
    const auto ask = in->finishes.front();
    BOOST_TEST(!closed); // nothing comes after the lease is gone
    if (std::any_of(ask.runs.begin(), ask.runs.end(),
                    [](const auto& run) { return run.result.result == "poison"; })) {
      refuse(in->finishes, errc::invalid_argument, "22P02");
      continue;
    }
    for (const auto& run : ask.runs) {
      BOOST_TEST(written.insert(run.id.value).second);
      if (run.id == started[1].first->id) {
        replaced = true;
        BOOST_TEST((run.result.kind == job_result::verdict::discarded));
        BOOST_TEST(run.result.error.find("22P02") != std::string::npos);
      }
    }
    closed = !ask.done.empty();
    answer(in->finishes, finished_runs{});
  }
  BOOST_TEST(written.size() == 3U);
  BOOST_TEST(replaced);
  BOOST_TEST(closed);
}

BOOST_AUTO_TEST_CASE(a_failure_with_an_unstorable_text_stays_a_failure) {
  take(lease_id{1}, 1);
  finish(0, failed(std::string("a\0b", 3)));
  refuse(in->finishes, errc::invalid_argument, "22021");
  BOOST_REQUIRE(in->finishes.size() == 1U);
  const auto& run = in->finishes.front().runs.at(0);
  BOOST_TEST((run.result.kind == job_result::verdict::failed));
  BOOST_TEST(run.result.error.find('\0') == std::string::npos);
  BOOST_TEST(in->finishes.front().done.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_discarding_text_that_cannot_be_stored_is_replaced_too) {
  take(lease_id{1}, 1);
  finish(0, discarded("\xff"));
  refuse(in->finishes, errc::invalid_argument);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.at(0).result.error != "\xff");
}

BOOST_AUTO_TEST_CASE(an_outcome_that_cannot_be_written_at_all_keeps_its_lease) {
  take(lease_id{1}, 2);
  finish(0);
  refuse(in->finishes, errc::database);
  refuse(in->finishes, errc::database);
  BOOST_TEST(in->finishes.empty());
  finish(1);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().done.empty()); // whoever rescues it finds the first run there
  answer(in->finishes, finished_runs{});
  told_leases({lease_id{1}});
  told_leases({lease_id{1}});
  BOOST_TEST(in->adoptions.empty());
  drain();
  BOOST_TEST(drained);
}

BOOST_AUTO_TEST_CASE(an_unanswered_batch_is_sent_again_after_a_pause_and_only_then) {
  take(lease_id{1}, 2);
  finish(0);
  refuse(in->finishes, errc::outcome_unknown);
  BOOST_TEST(in->finishes.empty());
  finish(1); // does not shorten the pause
  BOOST_TEST(in->finishes.empty());
  advance(200ms);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 1U);
  std::chrono::milliseconds last{0};
  for (int i = 0; i < 8; ++i) {
    refuse(in->finishes, errc::unavailable);
    std::chrono::milliseconds waited{0};
    for (; in->finishes.empty() && waited < 10s; waited += 10ms)
      advance(10ms);
    BOOST_TEST(waited.count() <= 6260);
    if (i > 5)
      BOOST_TEST(waited.count() >= 3000);
    last = waited;
  }
  answer(in->finishes, finished_runs{});
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().done.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.at(0).finished_ago.count() > 5000);
}

BOOST_AUTO_TEST_CASE(a_done_lease_of_an_unanswered_batch_is_closed_by_the_next) {
  take(lease_id{1}, 1);
  finish(0);
  BOOST_TEST(in->finishes.front().done.size() == 1U);
  refuse(in->finishes, errc::timed_out);
  advance(1s);
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().done.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 1U);
  answer(in->finishes, finished_runs{});
  BOOST_TEST(in->finishes.empty());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(counting, executor_system)

BOOST_AUTO_TEST_CASE(a_run_is_counted_by_queue_and_kind_once_its_outcome_is_stored) {
  take(lease_id{1}, 6); // two of which wait
  auto& runs = counters.runs;
  const auto ended = [&](run_end how) {
    return runs.of("q", "hold").ends[static_cast<std::size_t>(how)].load();
  };
  finish(0);
  BOOST_TEST(ended(run_end::completed) == 0U);
  answer(in->finishes, finished_runs{});
  BOOST_TEST(ended(run_end::completed) == 1U);
  finish(1, failed("again"));
  finish(2, discarded("no more"));
  answer_writes();
  cancel({started[3].first->id});
  finish(3, failed("stopped"));
  finished_runs fenced;
  fenced.fenced = {started[3].first->id};
  answer(in->finishes, fenced);
  finish(4);
  fenced.fenced = {started[4].first->id}; // somebody else's outcome was first
  answer(in->finishes, fenced);
  finish(5, snoozed(1s));
  answer_writes();
  for (const auto how : {run_end::completed, run_end::retried, run_end::discarded,
                         run_end::cancelled, run_end::fenced, run_end::snoozed})
    BOOST_TEST(ended(how) == 1U, run_ends[static_cast<std::size_t>(how)]);
  BOOST_TEST(counters.attempts_completed == 1U);
  BOOST_TEST(counters.attempts_fenced == 1U);
  BOOST_TEST(runs.size() == 1U);
  BOOST_TEST(counters.slots == 4U);
}

BOOST_AUTO_TEST_CASE(a_job_that_goes_back_unstarted_was_no_run) {
  take(lease_id{1}, 6);
  drain();
  answer_writes();
  BOOST_TEST(counters.attempts_snoozed == 2U);
  BOOST_TEST(counters.runs.size() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(cancelling, executor_system)

BOOST_AUTO_TEST_CASE(a_running_job_is_stopped_once_and_its_end_is_still_told) {
  take(lease_id{1}, 1);
  const auto run = started[0].first;
  cancel({run->id});
  cancel({run->id});
  BOOST_TEST(run->stop.stop_requested());
  BOOST_TEST(counters.attempts_cancelled == 1U);
  finish(0, failed("stopped"));
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.size() == 1U); // were the hint wrong the job would be lost
  BOOST_TEST(in->finishes.front().done.size() == 1U);
  finished_runs fenced;
  fenced.fenced = {run->id};
  answer(in->finishes, fenced);
  BOOST_TEST(counters.attempts_fenced == 0U);
  BOOST_TEST(counters.attempts_failed == 0U);
}

BOOST_AUTO_TEST_CASE(a_job_of_the_backlog_never_starts_and_goes_back_at_no_cost) {
  take(lease_id{1}, 6);
  BOOST_TEST(started.size() == 4U);
  cancel({job_id{105}});
  BOOST_REQUIRE(in->finishes.size() == 1U);
  BOOST_TEST(in->finishes.front().runs.at(0).id == job_id{105});
  BOOST_TEST((in->finishes.front().runs.at(0).result.kind == job_result::verdict::snoozed));
  finish_until_idle();
  for (const auto& [run, done] : started)
    BOOST_TEST(run->id != job_id{105});
  std::size_t closed = 0;
  while (!in->finishes.empty()) {
    closed += in->finishes.front().done.size();
    answer(in->finishes, finished_runs{});
  }
  BOOST_TEST(closed == 1U);
  BOOST_TEST(counters.backlog == 0U);
}

BOOST_AUTO_TEST_CASE(an_unknown_job_is_no_matter) {
  take(lease_id{1}, 1);
  cancel({job_id{4711}});
  BOOST_TEST(in->finishes.empty());
}

BOOST_AUTO_TEST_SUITE_END()
