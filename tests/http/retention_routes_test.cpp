// How long what is kept, and how ages are changed: what is asked of the engine, and what is refused
// before.
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/routed_call.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace troupe;
using namespace troupe::http;
using namespace std::chrono_literals;
using nlohmann::json;
using tests::canned_engine;

namespace {

const std::string all = "/api/v1/retention";
const std::string mail = "/api/v1/retention/mail";

struct retention_routes {
  retention_routes() {
    context.ask = engine;
    add_retention_routes(table, context, limits);
    answer(job_ages{"mail", 1ms, std::nullopt, 0ms});
  }
  response call(method verb, std::string_view target, std::string_view body = {}) {
    request_view with;
    with.body = body;
    return tests::routed_call(table, verb, target, with);
  }
  void answer(api_reply reply) { engine->always(std::move(reply)); }
  /// Of what is wrong with a body: its first pointer.
  std::string fault(std::string_view body) {
    const auto refused = call(method::patch, all, body);
    BOOST_TEST(refused.status == 400, body);
    BOOST_REQUIRE(refused.fault && !refused.fault->errors.empty());
    return refused.fault->errors[0].pointer;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  server_limits limits;
  services context;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(retention, retention_routes)

BOOST_AUTO_TEST_CASE(ages_are_told_in_milliseconds_and_for_ever_is_null) {
  retention_record kept;
  const timestamp at{1'700'000'000s};
  kept.ages = {{"", 1h, std::nullopt, 0ms}, {"mail", 1ms, 2ms, 3ms}};
  kept.oldest_job = at;
  kept.partitions = 3;
  kept.looking = {{{1}, {1000}}, {20}};
  kept.last_drop = {at, {{1}, {1000}}, 990, 10};
  kept.others = {{"audit", 24h, at}, {"tokens", 1s, std::nullopt}};
  answer(kept);
  const auto now = json::parse(call(method::get, all).body);
  BOOST_TEST(now["jobs"] == json::parse(R"({"ages":[
      {"queue":null,"completed_ms":3600000,"cancelled_ms":null,"discarded_ms":0},
      {"queue":"mail","completed_ms":1,"cancelled_ms":2,"discarded_ms":3}],
    "more_queues":false,"oldest_at":"2023-11-14T22:13:20Z","partitions":3,
    "last_drop":{"at":"2023-11-14T22:13:20Z","first_id":"1","last_id":"1000","dropped":990,
                 "kept":10},
    "looking":{"to_id":"20","first_id":"1","last_id":"1000"},"next_look_at":null})"));
  BOOST_TEST(now["others"] == json::parse(R"([
    {"what":"audit","age_ms":86400000,"oldest_at":"2023-11-14T22:13:20Z"},
    {"what":"tokens","age_ms":1000,"oldest_at":null}])"));
  BOOST_TEST(now["exports"]["age_ms"] == 86'400'000);
  answer(retention_record{});
  const auto nothing = json::parse(call(method::get, all).body)["jobs"];
  for (const auto* none : {"oldest_at", "last_drop", "looking", "next_look_at"})
    BOOST_TEST(nothing[none].is_null(), none);
}

BOOST_AUTO_TEST_CASE(what_is_left_out_is_not_asked_to_change) {
  const auto told = call(method::patch, mail, R"({"completed_ms":5,"discarded_ms":null})");
  BOOST_TEST(told.status == 200);
  BOOST_TEST(json::parse(told.body) == json::parse(R"({"queue":"mail","completed_ms":1,
    "cancelled_ms":null,"discarded_ms":0})"));
  call(method::patch, all, R"({"cancelled_ms":315360000000})");
  const auto asked = engine->asked();
  BOOST_REQUIRE(asked.size() == 2U);
  const auto& of_mail = std::get<change_ages>(asked[0]);
  BOOST_TEST(of_mail.queue == "mail");
  BOOST_TEST((of_mail.completed == job_ages::age{5ms}));
  BOOST_TEST(!of_mail.cancelled.has_value());
  BOOST_TEST((of_mail.discarded.has_value() && !of_mail.discarded->has_value()));
  const auto& of_all = std::get<change_ages>(asked[1]);
  BOOST_TEST(of_all.queue.empty());
  BOOST_TEST((of_all.cancelled == job_ages::age{limits::longest_age_of_jobs}));
  BOOST_TEST((!of_all.completed && !of_all.discarded));
}

BOOST_AUTO_TEST_CASE(what_is_no_age_is_refused_with_where_it_stands) {
  BOOST_TEST(fault("{}") == "");
  BOOST_TEST(fault("[]") == "");
  BOOST_TEST(fault(R"({"completed_ms":-1})") == "/completed_ms");
  BOOST_TEST(fault(R"({"cancelled_ms":315360000001})") == "/cancelled_ms");
  BOOST_TEST(fault(R"({"discarded_ms":1.5})") == "/discarded_ms");
  BOOST_TEST(fault(R"({"discarded_ms":"7 days"})") == "/discarded_ms");
  BOOST_TEST(fault(R"({"completed":1})") == "/completed");
  BOOST_TEST(call(method::patch, all, "{").status == 400);
  BOOST_TEST(call(method::patch, all, R"({"completed_ms":[1]})").status == 400);
  BOOST_TEST(call(method::patch, "/api/v1/retention/a%20b", R"({"completed_ms":1})").status == 404);
  BOOST_TEST(call(method::del, "/api/v1/retention/a%20b").status == 404);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(ages_are_forgotten_of_a_queue_and_not_of_all) {
  const auto gone = call(method::del, mail);
  BOOST_TEST(gone.status == 204);
  BOOST_TEST(gone.body.empty());
  BOOST_TEST(std::get<forget_ages>(engine->asked().at(0)).queue == "mail");
  BOOST_TEST(call(method::del, all).status == 405);
  answer(failure{errc::not_found, "the queue mail has no ages of its own"});
  BOOST_TEST(call(method::del, mail).status == 404);
  answer(failure{errc::unavailable, "no connection"});
  for (const auto verb : {method::get, method::patch})
    BOOST_TEST(call(verb, all, R"({"completed_ms":1})").status == 503);
}

BOOST_AUTO_TEST_SUITE_END()
