// From HTTP to a GATE and back: every question gets one answer, also when GATE drops it or is gone.
#include "http/bridge.hpp"
#include "messages/interfaces.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <future>
#include <memory>
#include <variant>

using namespace troupe;

namespace {

gate_actor::behavior_type answering_gate() {
  return {[](const api_call_ptr& call) {
    const auto& question = std::get<delete_job>(call->request());
    call->answer(deleted_job{question.id});
    call->answer(failure{errc::internal, "a second answer"});
  }};
}

gate_actor::behavior_type dropping_gate() {
  return {[](const api_call_ptr&) {}};
}

struct system_fixture {
  api_reply ask(const gate_actor& gate) {
    const auto bridge = http::make_bridge(gate);
    auto answered = std::make_shared<std::promise<api_reply>>();
    auto answer = answered->get_future();
    // A second answer would throw std::future_error here.
    bridge->ask(delete_job{{17}},
                [answered](api_reply reply) { answered->set_value(std::move(reply)); });
    BOOST_REQUIRE((answer.wait_for(tests::patience) == std::future_status::ready));
    return answer.get();
  }

  caf::actor_system_config config;
  caf::actor_system system{config};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(bridge, system_fixture)

BOOST_AUTO_TEST_CASE(a_question_comes_back_with_the_first_answer) {
  const auto reply = ask(system.spawn(answering_gate));
  BOOST_TEST((std::get<deleted_job>(reply).id == job_id{17}));
}

BOOST_AUTO_TEST_CASE(a_question_gate_drops_is_answered_stopping) {
  const auto reply = ask(system.spawn(dropping_gate));
  BOOST_TEST((std::get<failure>(reply).code == errc::stopping));
}

BOOST_AUTO_TEST_CASE(a_question_to_a_gate_that_has_ended_is_answered_stopping) {
  const auto gate = system.spawn(answering_gate);
  caf::anon_send_exit(gate, caf::exit_reason::user_shutdown);
  caf::scoped_actor self{system};
  self->wait_for(gate);
  const auto reply = ask(gate);
  BOOST_TEST((std::get<failure>(reply).code == errc::stopping));
}

BOOST_AUTO_TEST_SUITE_END()
