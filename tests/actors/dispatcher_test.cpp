// DISPATCHER over a WORK STORE that the test answers for: who waits is answered once, by the first
// job or by the clock; no wake is missed; while nothing happens nothing is asked.
#include "actors/dispatcher.hpp"
#include "tests/actors/work_doubles.hpp"

#include <map>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct dispatching : listening_system {
  std::shared_ptr<work_inboxes> asked = std::make_shared<work_inboxes>();
  work_store_double_impl work = spawn(work_store_double, asked);
  dispatcher_impl one = spawn(dispatcher, dispatcher_options{.max_waiting = 4},
                              work_store_actor{work}, executor_actor{told_executor});
  using told = std::map<std::string, std::variant<failure, claimed_work>>;
  /// Shared: who is left unanswered hears of it when the system ends, after us.
  std::shared_ptr<told> replies = std::make_shared<told>();
  std::shared_ptr<std::vector<std::pair<std::string, bool>>> idle =
      std::make_shared<std::vector<std::pair<std::string, bool>>>();

  dispatching() {
    const notifier_actor notifier =
        spawn([idle = idle](notifier_actor::pointer) -> notifier_actor::behavior_type {
          return {[idle](idle_atom, const std::string& queue, bool fruitful) {
            idle->emplace_back(queue, fruitful);
          }};
        });
    caf::anon_send(one, notifier);
    run();
  }
  void claim(const std::string& who, std::vector<std::string> queues,
             std::chrono::milliseconds wait = 10s) {
    claim_work question{{}, std::move(queues), 2, wait};
    question.by.hash = who;
    sys.spawn([question, who, to = dispatcher_actor{one},
               replies = replies](caf::event_based_actor* self) {
      self->request(to, caf::infinite, question)
          .then(
              [=](claimed_work& got) {
                replies->insert({who, std::move(got)});
              },
              [=](caf::error& why) {
                replies->insert({who, to_failure(why)});
              });
    });
    run();
  }
  static claimed_work job(std::int64_t id) {
    claimed_work out;
    out.jobs.emplace_back().id = job_id{id};
    return out;
  }
  template<class Answer>
  void give(Answer what) {
    BOOST_REQUIRE(!asked->claims.empty());
    auto promise = std::move(asked->claims.waiting.front().answer);
    asked->claims.waiting.pop_front();
    inside(work, [promise, what]() mutable { promise.deliver(what); });
    run();
  }
  /// Whose claim of which queue waits for its answer.
  std::string next() const {
    return asked->claims.empty()
               ? ""
               : asked->claims.front().by.hash + ':' + asked->claims.front().queue;
  }
  void wake(const std::string& queue) {
    caf::anon_send(one, wake_atom_v, queue);
    run();
  }
  bool waits(const std::string& who) const { return !replies->contains(who); }
  std::size_t jobs_of(const std::string& who) const {
    BOOST_REQUIRE(replies->contains(who));
    const auto* got = std::get_if<claimed_work>(&replies->at(who));
    BOOST_REQUIRE(got != nullptr);
    return got->jobs.size();
  }
  errc refusal_of(const std::string& who) const {
    BOOST_REQUIRE(replies->contains(who));
    return std::get<failure>(replies->at(who)).code;
  }
  std::size_t kept_queues() { return state().queues.size(); }
  dispatcher_state& state() { return state_of<dispatcher_state, dispatcher_impl>(one); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(dispatchers, dispatching)

BOOST_AUTO_TEST_CASE(what_is_there_is_the_answer_at_once_from_the_first_queue_that_has_some) {
  claim("a", {"p", "q", "r"});
  BOOST_TEST(next() == "a:p");
  BOOST_TEST(asked->claims.front().limit == 2);
  give(claimed_work{});
  BOOST_TEST(next() == "a:q");
  give(job(1));
  BOOST_TEST(jobs_of("a") == 1U);
  BOOST_TEST(asked->claims.empty());
  BOOST_TEST(kept_queues() == 0U);
}

BOOST_AUTO_TEST_CASE(who_does_not_wait_is_told_that_there_is_nothing) {
  claim("a", {"p", "q"}, 0s);
  give(claimed_work{});
  give(claimed_work{});
  BOOST_TEST(jobs_of("a") == 0U);
  BOOST_TEST(idle->empty());
  BOOST_TEST(notes->awaited.empty());
}

BOOST_AUTO_TEST_CASE(who_waits_costs_nothing_until_he_is_woken) {
  claim("a", {"p"});
  BOOST_TEST(notes->awaited == std::vector<std::string>{"p"}, boost::test_tools::per_element());
  give(claimed_work{});
  BOOST_REQUIRE_EQUAL(idle->size(), 1U);
  BOOST_TEST(idle->front().first == "p");
  BOOST_TEST(idle->front().second);
  advance(9s);
  BOOST_TEST(asked->claims.seen == 1);
  wake("other");
  BOOST_TEST(asked->claims.seen == 1);
  wake("p");
  BOOST_TEST(notes->awaited.size() == 2U);
  BOOST_TEST(next() == "a:p");
  BOOST_TEST(waits("a"));
  give(job(1));
  BOOST_TEST(jobs_of("a") == 1U);
  advance(5s);
  BOOST_TEST(asked->claims.seen == 2);
}

BOOST_AUTO_TEST_CASE(a_wait_has_its_end) {
  claim("a", {"p", "q"});
  give(claimed_work{});
  advance(3s); // the second look is late
  give(claimed_work{});
  advance(6900ms);
  BOOST_TEST(waits("a"));
  advance(200ms);
  BOOST_TEST(jobs_of("a") == 0U);
  BOOST_TEST(kept_queues() == 0U);
}

BOOST_AUTO_TEST_CASE(an_end_that_comes_during_a_claim_waits_for_its_answer) {
  claim("a", {"p"});
  give(claimed_work{});
  wake("p");
  advance(11s);
  BOOST_TEST(waits("a"));
  give(job(1));
  BOOST_TEST(jobs_of("a") == 1U);
  claim("b", {"p"});
  give(claimed_work{});
  wake("p");
  advance(11s);
  give(claimed_work{});
  BOOST_TEST(jobs_of("b") == 0U);
}

BOOST_AUTO_TEST_CASE(the_one_that_waits_longest_is_first_and_the_next_claims_while_there_is_work) {
  for (const auto* who : {"a", "b", "c"}) {
    claim(who, {"p"});
    give(claimed_work{});
  }
  wake("p");
  BOOST_TEST(next() == "a:p");
  BOOST_TEST(asked->claims.size() == 1U);
  give(job(1));
  BOOST_TEST(next() == "b:p");
  give(claimed_work{});
  BOOST_TEST(asked->claims.empty());
  BOOST_TEST(waits("b"));
  BOOST_TEST(waits("c"));
  BOOST_TEST(idle->back().second); // one has found jobs since the last time
  wake("p");
  give(job(2));
  give(job(3));
  BOOST_TEST(jobs_of("c") == 1U);
  BOOST_TEST(asked->claims.empty());
}

BOOST_AUTO_TEST_CASE(who_is_to_take_no_more_does_not_keep_a_wake_from_others) {
  claimed_work none;
  none.quiet = true;
  claim("a", {"p", "q"});
  give(claimed_work{});
  give(claimed_work{});
  claim("b", {"p"});
  give(claimed_work{});
  const auto idle_before = idle->size();
  wake("p");
  BOOST_TEST(next() == "a:p");
  wake("q"); // while nobody is free to look there
  give(none);
  BOOST_TEST(next() == "b:p");
  give(job(1));
  BOOST_TEST(jobs_of("b") == 1U);
  BOOST_TEST(idle->size() == idle_before);
  claim("c", {"p", "q"});
  give(none);
  BOOST_TEST(asked->claims.empty()); // nor is there any for it elsewhere
  wake("p");
  wake("q");
  BOOST_TEST(asked->claims.empty()); // neither is asked for again
  BOOST_TEST(kept_queues() == 0U);
  BOOST_TEST(waits("a")); // for as long as it said
  advance(11s);
  BOOST_TEST(jobs_of("a") == 0U);
  BOOST_TEST(jobs_of("c") == 0U);
}

BOOST_AUTO_TEST_CASE(a_wake_that_comes_during_a_look_is_not_missed) {
  claim("a", {"p", "q"});
  give(claimed_work{}); // of p
  wake("p");
  BOOST_TEST(next() == "a:q");
  give(claimed_work{});
  BOOST_TEST(next() == "a:p");
  wake("p"); // during that claim, too
  give(claimed_work{});
  BOOST_TEST(next() == "a:p");
  give(claimed_work{});
  BOOST_TEST(asked->claims.empty());
}

BOOST_AUTO_TEST_CASE(one_who_waits_in_two_queues_takes_from_one_of_them_only) {
  claim("a", {"p", "q"});
  give(claimed_work{});
  give(claimed_work{});
  claim("b", {"q"});
  give(claimed_work{});
  wake("p");
  wake("q");
  BOOST_TEST(asked->claims.size() == 2U); // a of p, b of q
  give(claimed_work{});
  BOOST_TEST(next() == "b:q");
  give(job(2));
  BOOST_TEST(next() == "a:q");
  give(job(3));
  BOOST_TEST(jobs_of("a") == 1U);
  BOOST_TEST(jobs_of("b") == 1U);
  BOOST_TEST(asked->claims.empty());
}

BOOST_AUTO_TEST_CASE(a_rate_that_is_used_up_is_waited_for) {
  claim("a", {"p"});
  claimed_work later;
  later.wait = 2s;
  give(later);
  BOOST_TEST(idle->empty());
  advance(1900ms);
  BOOST_TEST(asked->claims.empty());
  advance(200ms);
  BOOST_TEST(next() == "a:p");
  give(job(1));
  BOOST_TEST(jobs_of("a") == 1U);
}

BOOST_AUTO_TEST_CASE(an_answer_that_says_look_again_is_followed) {
  claim("a", {"p"});
  claimed_work more;
  more.again = true;
  give(more);
  BOOST_TEST(next() == "a:p");
  give(job(1));
  BOOST_TEST(jobs_of("a") == 1U);
}

BOOST_AUTO_TEST_CASE(whose_life_is_over_is_told_so_and_the_next_one_claims) {
  for (const auto* who : {"a", "b"}) {
    claim(who, {"p"});
    give(claimed_work{});
  }
  wake("p");
  give(make_error(errc::fenced, "gone"));
  BOOST_TEST((refusal_of("a") == errc::fenced));
  BOOST_TEST(next() == "b:p");
  give(make_error(errc::unavailable, "no connection"));
  BOOST_TEST((refusal_of("b") == errc::unavailable));
  claim("c", {"p"});
  give(make_error(errc::invalid_argument, "queues"));
  BOOST_TEST((refusal_of("c") == errc::invalid_argument));
  BOOST_TEST(kept_queues() == 0U);
}

BOOST_AUTO_TEST_CASE(so_many_may_wait_and_no_more) {
  for (const auto* who : {"a", "b", "c", "d"})
    claim(who, {"p"});
  claim("e", {"p"});
  BOOST_TEST((refusal_of("e") == errc::overloaded));
  give(job(1));
  claim("f", {"p"});
  BOOST_TEST(waits("f"));
}

BOOST_AUTO_TEST_CASE(nobody_waits_for_a_node_that_ends) {
  claim("a", {"p"});
  give(claimed_work{});
  claim("b", {"p"});
  caf::anon_send(one, drain_atom_v);
  run();
  BOOST_TEST(jobs_of("a") == 0U);
  BOOST_TEST(waits("b"));
  give(claimed_work{});
  BOOST_TEST(jobs_of("b") == 0U);
  claim("c", {"p"});
  give(claimed_work{});
  BOOST_TEST(jobs_of("c") == 0U);
}

BOOST_AUTO_TEST_CASE(whoever_waits_when_it_dies_is_answered) {
  claim("a", {"p"});
  give(claimed_work{});
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  BOOST_TEST((refusal_of("a") == errc::stopping));
}

/// Jobs come and workers claim in any order of messages: every job goes to one, and nobody waits
/// while there is work that nobody looks for.
BOOST_AUTO_TEST_CASE(at_random_no_job_is_left_while_somebody_waits) {
  std::mt19937 random{std::random_device{}()};
  std::map<std::string, int> stored{{"p", 0}, {"q", 0}};
  int made = 0;
  int taken = 0;
  int claims = 0;
  const auto serve = [&] {
    while (!asked->claims.empty()) {
      auto& there = stored.at(asked->claims.front().queue);
      const int some = std::min(there, 2);
      claimed_work got;
      for (int i = 0; i < some; ++i)
        got.jobs.emplace_back().id = job_id{++taken};
      there -= some;
      give(got);
    }
  };
  for (int step = 0; step < 400; ++step) {
    const std::string queue = random() % 2 == 0 ? "p" : "q";
    switch (random() % 4) {
    case 0:
      ++stored.at(queue);
      ++made;
      wake(queue);
      break;
    case 1:
      if (state().waiters.size() < 4)
        claim(std::to_string(++claims),
              random() % 2 == 0 ? std::vector{queue} : std::vector<std::string>{"p", "q"}, 1h);
      break;
    case 2:
      if (!asked->claims.empty()) {
        auto& there = stored.at(asked->claims.front().queue);
        const bool any = there > 0;
        there -= any ? 1 : 0;
        give(any ? job(++taken) : claimed_work{});
      }
      break;
    default:
      serve();
      for (const auto& [number, waiter] : state().waiters)
        for (const auto& wanted : waiter.asked.queues)
          BOOST_REQUIRE_EQUAL(stored.at(wanted), 0);
    }
  }
  serve();
  BOOST_TEST(taken + stored["p"] + stored["q"] == made);
}

BOOST_AUTO_TEST_SUITE_END()
