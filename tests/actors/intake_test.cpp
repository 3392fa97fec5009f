// INTAKE over a STORE that the test answers for: what comes together goes together, everybody hears
// of his own jobs only, and nobody fails for another's sake.
#include "actors/intake.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct taking_in : listening_system {
  intake_options limited{.max_flights = 2,
                         .flight_jobs = 4,
                         .flight_bytes = 1000,
                         .max_waiting = 8,
                         .waiting_bytes = 5000};
  intake_actor one =
      spawn(intake, limited, intake_peers{store, told_executor, told_scheduler, &counters});
  /// Shared: who is left unanswered hears of it when the system ends, after us.
  using told = std::map<std::string, std::vector<std::variant<failure, enqueued_jobs>>>;
  std::shared_ptr<told> kept = std::make_shared<told>();
  told& replies = *kept;

  /// Asks for so many jobs, whose kind is the caller's name.
  void ask(const std::string& who, std::size_t jobs = 1, std::size_t bytes = 2,
           const std::string& key = {}) {
    auto asked = std::make_shared<enqueue_jobs>();
    asked->idempotency_key = key;
    job_spec job{.kind = who};
    job.args.resize(bytes, ' ');
    asked->jobs.assign(jobs, job);
    ask(who, asked);
  }
  void ask(const std::string& who, const enqueue_jobs_ptr& asked) {
    inside_of_a_caller([who, asked, to = one, kept = kept](caf::event_based_actor* self) {
      self->request(to, caf::infinite, asked)
          .then([=](enqueued_jobs& stored) { (*kept)[who].push_back(std::move(stored)); },
                [=](caf::error& why) { (*kept)[who].push_back(to_failure(why)); });
    });
    run();
  }
  void inside_of_a_caller(std::function<void(caf::event_based_actor*)> what) {
    sys.spawn([what = std::move(what)](caf::event_based_actor* self) { what(self); });
  }
  std::string flying() const {
    std::string kinds;
    for (const auto& job : in->enqueues.front()->jobs)
      kinds += job.kind;
    return kinds;
  }
  /// The oldest flight lands; ids begin with `first`.
  void land(std::int64_t first) {
    enqueued_jobs stored;
    for (std::size_t i = 0; i < in->enqueues.front()->jobs.size(); ++i)
      stored.ids.push_back(job_id{first++});
    stored.ready_queues = {"default"};
    answer(in->enqueues, stored);
  }
  std::vector<std::int64_t> ids(const std::string& who) {
    BOOST_REQUIRE(replies[who].size() == 1U);
    BOOST_REQUIRE(std::holds_alternative<enqueued_jobs>(replies[who].front()));
    std::vector<std::int64_t> out;
    for (const auto id : std::get<enqueued_jobs>(replies[who].front()).ids)
      out.push_back(id.value);
    return out;
  }
  errc refusal(const std::string& who) {
    BOOST_REQUIRE(replies[who].size() == 1U);
    BOOST_REQUIRE(std::holds_alternative<failure>(replies[who].front()));
    return std::get<failure>(replies[who].front()).code;
  }
};

using longs = std::vector<std::int64_t>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(intake_of_jobs, taking_in)

BOOST_AUTO_TEST_CASE(who_comes_alone_does_not_wait) {
  ask("a");
  BOOST_TEST(flying() == "a");
  ask("b");
  BOOST_TEST(in->enqueues.size() == 2U);
  land(1);
  BOOST_TEST(ids("a") == longs{1}, boost::test_tools::per_element());
  BOOST_TEST(replies["b"].empty());
  BOOST_TEST(counters.jobs_enqueued == 1U);
}

BOOST_AUTO_TEST_CASE(those_who_come_meanwhile_share_a_transaction_and_hear_of_their_own_jobs) {
  ask("a");
  ask("b");
  ask("c");
  ask("d", 2);
  ask("e");
  BOOST_TEST(in->enqueues.size() == 2U);
  land(1);
  land(2);
  BOOST_TEST(flying() == "cdde");
  BOOST_TEST(notes->wakes.size() == 2U);
  land(10);
  BOOST_TEST(ids("c") == longs{10}, boost::test_tools::per_element());
  BOOST_TEST(ids("d") == (longs{11, 12}), boost::test_tools::per_element());
  BOOST_TEST(ids("e") == longs{13}, boost::test_tools::per_element());
  BOOST_TEST(notes->wakes.size() == 3U); // once for all
  BOOST_TEST(counters.jobs_enqueued == 6U);
}

BOOST_AUTO_TEST_CASE(a_flight_is_limited_and_a_caller_is_never_divided) {
  ask("a");
  ask("b");
  ask("c", 3);
  ask("d", 2);
  ask("e", 1, 990);
  ask("f", 1, 100);
  land(1);
  BOOST_TEST(flying() == "b");
  land(2);
  BOOST_TEST(flying() == "ccc"); // two more would be five
  land(3);
  BOOST_TEST(flying() == "dde");
  land(6);
  BOOST_TEST(flying() == "f");
}

BOOST_AUTO_TEST_CASE(one_caller_may_bring_more_than_a_flight_holds) {
  ask("a", 9);
  BOOST_TEST(in->enqueues.front()->jobs.size() == 9U);
  land(1);
  BOOST_TEST(ids("a").size() == 9U);
}

BOOST_AUTO_TEST_CASE(a_refused_flight_is_tried_caller_by_caller) {
  ask("a");
  ask("b");
  ask("c");
  ask("bad");
  ask("d");
  land(1);
  BOOST_TEST(flying() == "b");
  land(2);
  BOOST_TEST(flying() == "cbadd");
  refuse(in->enqueues, errc::invalid_argument, "no NUL");
  BOOST_TEST(in->enqueues.size() == 2U);
  BOOST_TEST(flying() == "c");
  land(3);
  BOOST_TEST(flying() == "bad");
  refuse(in->enqueues, errc::invalid_argument, "no NUL");
  land(4);
  BOOST_TEST(ids("c") == longs{3}, boost::test_tools::per_element());
  BOOST_TEST((refusal("bad") == errc::invalid_argument));
  BOOST_TEST(ids("d") == longs{4}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(of_a_shared_flight_each_hears_what_became_of_his_own_jobs_and_of_his_key) {
  ask("a", 1, 2, "a");
  ask("b", 1, 2, "b");
  ask("c", 1, 2, "k1");
  ask("d", 2, 2, "k3");
  ask("e", 1, 2, "k2");
  land(1);
  land(2);
  const auto& flown = *in->enqueues.front();
  BOOST_REQUIRE(flown.parts.size() == 3U);
  BOOST_TEST(flown.parts[0].idempotency_key == "k1");
  BOOST_TEST(flown.parts[1].jobs == 2U);
  BOOST_TEST(flown.parts[1].idempotency_key == "k3");
  using f = enqueue_fate;
  const timestamp then{5s};
  answer(in->enqueues, enqueued_jobs{{job_id{9}, job_id{0}, job_id{7}, job_id{10}},
                                     {"default"},
                                     false,
                                     timestamp{9s},
                                     {f::created, f::none, f::rejected, f::created},
                                     key_use::none,
                                     {{key_use::replayed, then},
                                      {key_use::first, timestamp{9s}},
                                      {key_use::first, timestamp{9s}}}});
  const auto heard = [&](const char* who) {
    BOOST_REQUIRE(replies[who].size() == 1U);
    return std::get<enqueued_jobs>(replies[who].front());
  };
  BOOST_TEST((heard("c").use == key_use::replayed));
  BOOST_TEST((heard("c").created_at == then));
  BOOST_TEST((heard("d").fates == std::vector{f::none, f::rejected}));
  BOOST_TEST((first_rejected(heard("d")) == std::optional<std::size_t>{1}));
  BOOST_TEST(heard("d").ids[1].value == 7);
  BOOST_TEST((heard("e").use == key_use::first));
  BOOST_TEST(ids("e") == longs{10}, boost::test_tools::per_element());
  BOOST_TEST(counters.jobs_enqueued == 3U); // a, b and e; what was replayed counted long ago
}

BOOST_AUTO_TEST_CASE(a_full_queue_refuses_those_it_has_no_room_for_and_nobody_else) {
  ask("a");
  ask("b");
  ask("c", 2);
  ask("d");
  ask("e");
  land(1);
  land(2);
  BOOST_TEST(flying() == "ccde");
  BOOST_TEST(!in->enqueues.front()->apart);
  refuse(in->enqueues, errc::overloaded);
  BOOST_TEST(flying() == "ccde"); // together, and each by himself
  BOOST_TEST(in->enqueues.front()->apart);
  BOOST_TEST(in->enqueues.front()->parts.size() == 3U);
  using f = enqueue_fate;
  answer(in->enqueues, enqueued_jobs{{job_id{0}, job_id{0}, job_id{3}, job_id{0}},
                                     {"default"},
                                     false,
                                     timestamp{9s},
                                     {f::none, f::no_room, f::created, f::no_room},
                                     key_use::none,
                                     {{key_use::none, timestamp{9s}},
                                      {key_use::none, timestamp{9s}},
                                      {key_use::none, timestamp{9s}}}});
  BOOST_TEST((refusal("c") == errc::overloaded));
  BOOST_TEST((refusal("e") == errc::overloaded));
  BOOST_TEST(std::get<failure>(replies["e"].front()).detail
             == "queue \"default\" is full: as many of its jobs wait as may");
  BOOST_TEST(ids("d") == longs{3}, boost::test_tools::per_element());
  BOOST_TEST(counters.jobs_enqueued == 3U);
}

BOOST_AUTO_TEST_CASE(who_wants_to_be_told_of_each_job_flies_alone_and_hears_all_of_it) {
  auto asked = std::make_shared<enqueue_jobs>();
  asked->apart = true;
  asked->jobs.assign(3, job_spec{.kind = "each"});
  asked->parts.assign(3, {1, ""});
  ask("a", 1, 2, "a");
  ask("b", 1, 2, "b");
  ask("c", 1, 2, "c"); // these two wait for a flight
  ask("each", enqueue_jobs_ptr{asked});
  ask("d", 1, 2, "d");
  const auto stored = [](std::int64_t id, enqueue_fate fate) {
    return enqueued_jobs{{job_id{id}},
                         {},
                         false,
                         timestamp{9s},
                         {fate},
                         key_use::first,
                         {{key_use::first, timestamp{9s}}}};
  };
  using f = enqueue_fate;
  answer(in->enqueues, stored(1, f::created));
  answer(in->enqueues, stored(2, f::created));
  BOOST_TEST(flying() == "c");
  answer(in->enqueues, stored(3, f::created));
  BOOST_TEST(in->enqueues.front() == asked);
  answer(in->enqueues, enqueued_jobs{{job_id{7}, job_id{0}, job_id{5}},
                                     {"default"},
                                     false,
                                     timestamp{9s},
                                     {f::created, f::no_room, f::created},
                                     key_use::none,
                                     {{key_use::first, timestamp{9s}},
                                      {key_use::none, timestamp{9s}},
                                      {key_use::replayed, timestamp{8s}}}});
  BOOST_REQUIRE(replies["each"].size() == 1U);
  const auto& heard = std::get<enqueued_jobs>(replies["each"].front());
  BOOST_TEST((heard.fates == std::vector{f::created, f::no_room, f::created}));
  BOOST_TEST(heard.parts.size() == 3U);
  BOOST_TEST(flying() == "d");
  BOOST_TEST(counters.jobs_enqueued == 4U); // what was replayed counted long ago
}

BOOST_AUTO_TEST_CASE(a_pool_that_is_overloaded_is_asked_twice_and_then_everybody_hears) {
  ask("a");
  ask("b");
  ask("c");
  ask("d");
  land(1);
  land(2);
  refuse(in->enqueues, errc::overloaded);
  refuse(in->enqueues, errc::overloaded);
  BOOST_TEST((refusal("c") == errc::overloaded));
  BOOST_TEST((refusal("d") == errc::overloaded));
  BOOST_TEST(in->enqueues.empty());
}

BOOST_AUTO_TEST_CASE(one_key_is_never_twice_in_a_flight) {
  ask("a", 1, 2, "a");
  ask("b", 1, 2, "b");
  ask("c", 1, 2, "k");
  ask("d", 1, 2, "d");
  ask("e", 1, 2, "k");
  ask("f", 1, 2, "f");
  land(1);
  land(2);
  BOOST_TEST(flying() == "cd");
  land(3);
  BOOST_TEST(flying() == "ef");
}

BOOST_AUTO_TEST_CASE(plain_jobs_do_not_wait_for_those_that_wait_for_a_key) {
  ask("u", 1, 2, "1");
  ask("v", 1, 2, "2");
  ask("w", 1, 2, "3");
  BOOST_TEST(in->enqueues.size() == 2U);
  ask("a");
  ask("b");
  BOOST_TEST(in->enqueues.size() == 4U);
  ask("c");
  ask("x", 1, 2, "4");
  land(1);
  BOOST_TEST(in->enqueues.size() == 4U);
  land(2);
  BOOST_TEST(flying() == "a");
  land(3);
  land(4);
  BOOST_TEST(flying() == "wx");
  land(5);
  BOOST_TEST(flying() == "c");
}

// Nothing was stored: the database undid it for somebody else's sake.
BOOST_AUTO_TEST_CASE(of_a_flight_that_met_a_lock_only_who_needs_it_hears_so) {
  ask("a", 1, 2, "a");
  ask("b", 1, 2, "b");
  ask("c", 1, 2, "c");
  ask("d", 1, 2, "d");
  land(1);
  land(2);
  BOOST_TEST(flying() == "cd");
  refuse(in->enqueues, errc::retry);
  BOOST_TEST(flying() == "c");
  refuse(in->enqueues, errc::retry);
  land(3);
  BOOST_TEST((refusal("c") == errc::retry));
  BOOST_TEST(ids("d") == longs{3}, boost::test_tools::per_element());
}

// What became of it is not known: to ask again could store it twice.
BOOST_AUTO_TEST_CASE(an_unknown_outcome_is_told_to_all_and_nothing_is_tried_again) {
  for (const auto why : {errc::outcome_unknown, errc::unavailable, errc::timed_out}) {
    replies.clear();
    ask("a");
    ask("b");
    ask("c");
    ask("d");
    land(1);
    land(2);
    BOOST_TEST(flying() == "cd");
    refuse(in->enqueues, why);
    BOOST_TEST((refusal("c") == why));
    BOOST_TEST((refusal("d") == why));
    BOOST_TEST(in->enqueues.empty());
  }
}

BOOST_AUTO_TEST_CASE(who_comes_beyond_the_bounds_is_refused_at_once) {
  ask("a");
  ask("b");
  for (int i = 0; i < 8; ++i)
    ask("waiting");
  ask("late");
  BOOST_TEST((refusal("late") == errc::overloaded));
  BOOST_TEST(replies["waiting"].empty());
  land(1);
  ask("again");
  BOOST_TEST(replies["again"].empty());
}

BOOST_AUTO_TEST_CASE(arguments_that_wait_are_bounded_too) {
  ask("a");
  ask("b");
  ask("c", 1, 4000);
  ask("d", 1, 1001);
  BOOST_TEST((refusal("d") == errc::overloaded));
  ask("e", 1, 1000);
  BOOST_TEST(replies["e"].empty());
}

BOOST_AUTO_TEST_CASE(the_soonest_of_what_waits_is_told_to_the_scheduler) {
  auto asked = std::make_shared<enqueue_jobs>();
  asked->jobs = {{.kind = "a", .delay = 50s}, {.kind = "b", .delay = 20s}};
  inside_of_a_caller([asked, to = one](caf::event_based_actor* self) {
    self->request(to, caf::infinite, enqueue_jobs_ptr{asked}).then([](const enqueued_jobs&) {});
  });
  run();
  answer(in->enqueues, enqueued_jobs{{job_id{1}, job_id{2}}, {}, true});
  BOOST_TEST((*dues == std::vector{caf::timespan{20s}}));
}

BOOST_AUTO_TEST_CASE(the_next_flight_for_a_queue_that_asks_goes_to_the_executor_and_only_that) {
  caf::anon_send(one, wake_atom_v, std::string{"default"});
  ask("a");
  BOOST_TEST(in->enqueues.empty());
  BOOST_REQUIRE(notes->brought.size() == 1U);
  ask("b");
  BOOST_TEST(in->enqueues.size() == 1U);
  answer_brought(enqueued_jobs{.ids = {job_id{7}}, .ready_queues = {}});
  BOOST_TEST(ids("a") == longs{7}, boost::test_tools::per_element());
  BOOST_TEST(notes->wakes.empty()); // it runs already
}

BOOST_AUTO_TEST_CASE(jobs_with_a_key_or_for_later_are_not_brought) {
  caf::anon_send(one, wake_atom_v, std::string{"default"});
  ask("a", 1, 2, "key");
  BOOST_TEST(notes->brought.empty());
  BOOST_TEST(in->enqueues.size() == 1U);
  const auto later = std::make_shared<enqueue_jobs>();
  later->jobs = {job_spec{.kind = "b"}, job_spec{.kind = "c", .delay = 1s}};
  caf::anon_send(one, enqueue_jobs_ptr{later});
  run();
  BOOST_TEST(notes->brought.empty());
  const auto mixed = std::make_shared<enqueue_jobs>();
  mixed->jobs = {job_spec{.kind = "b"}, job_spec{.kind = "c", .queue = "other"}};
  caf::anon_send(one, enqueue_jobs_ptr{mixed});
  run();
  BOOST_TEST(notes->brought.empty());
}

BOOST_AUTO_TEST_CASE(callers_of_a_refused_start_are_tried_one_by_one) {
  ask("x");
  ask("y"); // both flights are out
  ask("a");
  ask("b");
  caf::anon_send(one, wake_atom_v, std::string{"default"});
  land(1);
  BOOST_REQUIRE(notes->brought.size() == 1U);
  answer_brought(make_error(errc::invalid_argument, "refused"));
  BOOST_TEST(flying() == "y");
  BOOST_TEST(in->enqueues.size() == 2U);
  land(2);
  land(3);
  land(4);
  BOOST_TEST(ids("a") == longs{3}, boost::test_tools::per_element());
  BOOST_TEST(ids("b") == longs{4}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
