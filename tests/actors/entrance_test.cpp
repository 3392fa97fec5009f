// GATE, SESSION and INTAKE over a STORE that the test answers for: every request is answered
// exactly once, and those whom it concerns are told.
#include "actors/gate.hpp"
#include "actors/intake.hpp"
#include "actors/lookup.hpp"
#include "actors/store.hpp"
#include "tests/actors/work_doubles.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct entrance : listening_system {
  intake_actor taking = spawn(intake, intake_options{},
                              intake_peers{store, told_executor, told_scheduler, &counters});
  gate_actor way_in =
      spawn(gate, gate_options{.max_requests = 3},
            session_peers{taking, store, spawn(lookup, lookup_options{.max_flights = 3}, store),
                          told_executor, told_janitor, &counters});
  std::shared_ptr<std::vector<api_reply>> replies = std::make_shared<std::vector<api_reply>>();

  void send(api_request request) {
    caf::anon_send(way_in, std::make_shared<const api_call>(std::move(request),
                                                            [replies = replies](api_reply reply) {
                                                              replies->push_back(std::move(reply));
                                                            }));
  }
  void ask(api_request request) {
    send(std::move(request));
    run();
  }
  const failure& refusal() const {
    BOOST_REQUIRE(replies->size() == 1U);
    BOOST_REQUIRE(std::holds_alternative<failure>(replies->front()));
    return std::get<failure>(replies->front());
  }
  template<class Reply>
  const Reply& reply() const {
    BOOST_REQUIRE(replies->size() == 1U);
    BOOST_REQUIRE(std::holds_alternative<Reply>(replies->front()));
    return std::get<Reply>(replies->front());
  }
  static job_record job(std::int64_t id) {
    job_record one;
    one.id = job_id{id};
    one.queue = "mail";
    return one;
  }
};

/// With a WORK STORE, and a DISPATCHER that gives a job at once.
struct working : entrance {
  std::shared_ptr<work_inboxes> asked = std::make_shared<work_inboxes>();
  work_store_double_impl work = spawn(work_store_double, asked);
  dispatcher_actor giving = spawn([](dispatcher_actor::pointer) {
    return dispatcher_actor::behavior_type{[](const claim_work& ask) {
                                             claimed_work out;
                                             out.jobs.resize(static_cast<std::size_t>(ask.limit));
                                             return out;
                                           },
                                           [](const notifier_actor&) {}, [](drain_atom) {},
                                           [](wake_atom, const std::string&) {}};
  });
  working() {
    way_in =
        spawn(gate, gate_options{},
              session_peers{taking, store, spawn(lookup, lookup_options{}, store), told_executor,
                            told_janitor, &counters, work, giving, told_scheduler});
  }
  template<class Ask, class Reply>
  void answer_work(inbox<Ask, Reply>& from, Reply what) {
    BOOST_REQUIRE(!from.empty());
    auto promise = std::move(from.waiting.front().answer);
    from.waiting.pop_front();
    inside(work, [promise, what]() mutable { promise.deliver(what); });
    run();
  }
};

/// The real STORE over a POOL that never answers.
struct held_up : entrance {
  store_actor real =
      spawn(troupe::store, spawn([](pool_actor::pointer self) {
              return pool_actor::behavior_type{[self](const query_ptr&) -> caf::result<db::result> {
                return self->make_response_promise<db::result>();
              }};
            }));
  intake_actor really_taking =
      spawn(intake, intake_options{}, intake_peers{real, told_executor, told_scheduler, &counters});
  gate_actor real_way_in =
      spawn(gate, gate_options{.max_requests = 100},
            session_peers{really_taking, real, spawn(lookup, lookup_options{}, real), told_executor,
                          told_janitor, &counters});
};

} // namespace

BOOST_FIXTURE_TEST_CASE(requests_that_a_store_had_in_hand_when_it_ended_are_answered, held_up) {
  way_in = real_way_in;
  const std::vector<api_request> all{enqueue_jobs{{{.kind = "a"}}},
                                     get_job{job_id{1}},
                                     list_jobs{},
                                     cancel_job{job_id{1}},
                                     retry_job{job_id{1}},
                                     delete_job{job_id{1}},
                                     explain_job{job_id{1}},
                                     edit_job{job_id{1}},
                                     start_bulk{},
                                     preview_bulk{},
                                     get_bulk{1},
                                     list_bulks{},
                                     cancel_bulk{1},
                                     find_token{"h"},
                                     create_token{},
                                     list_tokens{},
                                     revoke_token{1},
                                     list_audit{},
                                     drain_node{"n"},
                                     get_retention{}};
  for (const auto& one : all)
    ask(one);
  BOOST_TEST(replies->empty());
  BOOST_TEST(counters.requests_in_flight == all.size());
  caf::anon_send_exit(real, caf::exit_reason::user_shutdown);
  run();
  BOOST_REQUIRE(replies->size() == all.size());
  for (const auto& one : *replies)
    BOOST_TEST(std::get<failure>(one).code == errc::stopping);
  BOOST_TEST(counters.requests_in_flight == 0U);
}

BOOST_FIXTURE_TEST_SUITE(serving, entrance)

BOOST_AUTO_TEST_CASE(an_enqueue_is_answered_and_its_queues_are_woken) {
  ask(enqueue_jobs{{{.kind = "a", .queue = "x"}, {.kind = "b", .queue = "y"}}});
  BOOST_TEST(in->enqueues.front()->jobs.size() == 2U);
  BOOST_TEST(replies->empty());
  BOOST_TEST(notes->wakes.empty()); // not before the commit
  answer(in->enqueues, enqueued_jobs{{job_id{1}, job_id{2}}, {"x", "y"}, false});
  BOOST_TEST(reply<enqueued_jobs>().ids.size() == 2U);
  BOOST_TEST(notes->wakes == (std::vector<std::string>{"x", "y"}),
             boost::test_tools::per_element());
  BOOST_TEST(dues->empty());
  BOOST_TEST(counters.jobs_enqueued == 2U);
  BOOST_TEST(counters.requests_in_flight == 0U);
}

BOOST_AUTO_TEST_CASE(the_soonest_of_what_waits_is_told_to_the_scheduler) {
  const auto now =
      std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  ask(enqueue_jobs{{{.kind = "a", .delay = 50s}, {.kind = "b", .run_at = now + 1h}}});
  answer(in->enqueues, enqueued_jobs{{job_id{1}, job_id{2}}, {}, true});
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() == caf::timespan{50s}));
}

BOOST_AUTO_TEST_CASE(get_list_and_delete_are_answered_and_tell_nobody) {
  ask(get_job{job_id{7}});
  BOOST_TEST(in->gets.front().id == job_id{7});
  answer(in->gets, job(7));
  BOOST_TEST(reply<job_record>().id == job_id{7});
  replies->clear();
  ask(list_jobs{{}, job_id{9}, 5});
  BOOST_TEST(in->lists.front().limit == 5);
  answer(in->lists, job_page{{job(8)}, job_id{8}});
  BOOST_TEST((reply<job_page>().next == std::optional{job_id{8}}));
  replies->clear();
  ask(delete_job{job_id{3}});
  answer(in->deletes, deleted_job{job_id{3}});
  BOOST_TEST(reply<deleted_job>().id == job_id{3});
  BOOST_TEST(notes->wakes.empty());
  BOOST_TEST(notes->cancels.empty());
}

BOOST_AUTO_TEST_CASE(a_cancel_is_hinted_after_it_is_written_and_a_retry_wakes) {
  ask(cancel_job{job_id{7}});
  BOOST_TEST(notes->cancels.empty());
  answer(in->cancels, job(7));
  BOOST_TEST(reply<job_record>().id == job_id{7});
  BOOST_TEST(notes->cancels == std::vector{job_id{7}}, boost::test_tools::per_element());
  replies->clear();
  ask(retry_job{job_id{7}});
  answer(in->retries, job(7));
  BOOST_TEST(notes->wakes == std::vector<std::string>{"mail"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_operation_is_told_to_the_janitor_once_it_is_stored_and_an_edit_wakes) {
  ask(start_bulk{});
  BOOST_TEST(chores->empty());
  bulk_record made;
  made.id = 4;
  answer(in->bulk_starts, made);
  BOOST_TEST(reply<bulk_record>().id == 4);
  BOOST_TEST(chores->size() == 1U);
  replies->clear();
  ask(preview_bulk{});
  answer(in->bulk_previews, bulk_preview{7, true, {job_id{3}}});
  BOOST_TEST(reply<bulk_preview>().matched == 7);
  BOOST_TEST(chores->size() == 1U);
  replies->clear();
  ask(edit_job{job_id{8}});
  answer(in->edits, job(8));
  BOOST_TEST(notes->wakes == std::vector<std::string>{"mail"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_is_known_of_tokens_is_forgotten_when_a_revocation_is_written) {
  ask(revoke_token{7});
  BOOST_TEST(counters.token_changes == 0U);
  token_record gone;
  gone.id = 7;
  answer(in->token_revocations, gone);
  BOOST_TEST(reply<token_record>().id == 7);
  BOOST_TEST(counters.token_changes == 1U);
}

BOOST_AUTO_TEST_CASE(a_refusal_is_passed_on_and_nobody_else_is_told) {
  ask(cancel_job{job_id{7}});
  refuse(in->cancels, errc::conflict, "job 7 is already completed");
  BOOST_TEST(refusal().code == errc::conflict);
  BOOST_TEST(refusal().detail == "job 7 is already completed");
  BOOST_TEST(notes->cancels.empty());
  BOOST_TEST(counters.requests_in_flight == 0U);
}

BOOST_AUTO_TEST_CASE(a_store_that_is_dead_is_a_failure) {
  caf::anon_send_exit(store_itself, caf::exit_reason::kill);
  run();
  ask(get_job{job_id{7}});
  BOOST_TEST(refusal().code == errc::stopping);
  BOOST_TEST(counters.requests_in_flight == 0U);
}

BOOST_AUTO_TEST_CASE(a_burst_above_the_bound_is_answered_as_overloaded_at_once) {
  for (int i = 0; i < 5; ++i)
    send(get_job{job_id{i + 1}});
  // GATE first: it must not need the sessions to have run to know how many there are.
  while (sched().prioritize(way_in))
    sched().try_run_once();
  BOOST_TEST(counters.requests_in_flight == 3U);
  run();
  BOOST_TEST(in->gets.size() == 3U);
  BOOST_REQUIRE(replies->size() == 2U);
  for (const auto& one : *replies)
    BOOST_TEST(std::get<failure>(one).code == errc::overloaded);
  while (!in->gets.empty())
    answer(in->gets, job(1));
  BOOST_TEST(replies->size() == 5U);
  BOOST_TEST(counters.requests_in_flight == 0U);
  replies->clear();
  ask(get_job{job_id{9}}); // there is room again
  answer(in->gets, job(9));
  BOOST_TEST(reply<job_record>().id == job_id{9});
}

BOOST_AUTO_TEST_CASE(a_request_that_reaches_a_dead_gate_is_answered_as_stopping) {
  caf::anon_send_exit(way_in, caf::exit_reason::user_shutdown);
  run();
  ask(get_job{job_id{1}});
  BOOST_TEST(refusal().code == errc::stopping);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_CASE(what_workers_end_makes_room_and_is_due_again, working) {
  const work_effects effects{2s, {"x", "y"}};
  ask(finish_work{});
  answer_work(asked->finishes, finished_work{{work_fate::done}, effects});
  BOOST_TEST(reply<finished_work>().fates.size() == 1U);
  BOOST_REQUIRE_EQUAL(dues->size(), 1U);
  BOOST_TEST((dues->front() == caf::timespan{2s}));
  BOOST_TEST(notes->wakes == (std::vector<std::string>{"x", "y"}),
             boost::test_tools::per_element());
  ask(beat_worker{});
  answer_work(asked->beats, work_pulse{{}, {}, {job_id{1}}, work_wish::run, effects});
  ask(leave_worker{});
  answer_work(asked->leaves, left_worker{{job_id{1}}, effects});
  BOOST_TEST(dues->size() == 3U);
  BOOST_TEST(notes->wakes.size() == 6U);
  ask(join_worker{});
  answer_work(asked->joins, joined_worker{node_id{1}});
  ask(report_work{});
  answer_work(asked->reports, reported_work{});
  ask(steer_worker{});
  answer_work(asked->steers, steered_worker{});
  claim_work three;
  three.limit = 3;
  ask(three);
  BOOST_REQUIRE_EQUAL(replies->size(), 7U);
  BOOST_TEST(std::get<claimed_work>(replies->back()).jobs.size() == 3U);
  BOOST_TEST(dues->size() == 3U);
  BOOST_TEST(notes->wakes.size() == 6U);
}
