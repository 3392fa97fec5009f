// /api/v1/bulk and PATCH of a job without a socket: what is asked of the engine, what is refused
// with a pointer to it, and how answers are written.
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/routed_call.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

struct bulk_routes {
  bulk_routes() {
    context.ask = engine;
    add_bulk_routes(table, context, limits);
    operation.id = 5;
    operation.action = "move";
    operation.state = "running";
    operation.filter = R"({"queue": "mail"})";
    operation.to_queue = "post";
    operation.created_by = "ada";
    operation.matched = 12;
    operation.changed = 10;
    operation.skipped = 2;
    operation.reached = 40;
    operation.up_to = 99;
    engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<list_bulks>(asked))
        return reply(bulk_page{{operation, operation}, 5});
      if (std::holds_alternative<preview_bulk>(asked))
        return reply(bulk_preview{10'000, true, {job_id{3}, job_id{4}}});
      if (std::holds_alternative<edit_job>(asked))
        return reply(canned_engine::job({17}));
      reply(operation);
    });
  }
  response call(method verb, std::string_view target, std::string_view body = {}) {
    request_view request;
    request.body = body;
    return tests::routed_call(table, verb, target, request);
  }
  template<class Question>
  Question asked() {
    BOOST_REQUIRE(!engine->asked().empty());
    return std::get<Question>(engine->asked().back());
  }
  std::string fault_of(method verb, std::string_view target, std::string_view body) {
    const auto before = engine->asked().size();
    const auto answer = call(verb, target, body);
    BOOST_TEST(answer.status == 400);
    BOOST_TEST(engine->asked().size() == before);
    BOOST_REQUIRE(answer.fault && !answer.fault->errors.empty());
    return answer.fault->errors[0].pointer;
  }
  std::string fault_of_bulk(std::string_view body) {
    return fault_of(method::post, "/api/v1/bulk", body);
  }
  std::string fault_of_edit(std::string_view body) {
    return fault_of(method::patch, "/api/v1/jobs/17", body);
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  services context;
  server_limits limits;
  router table;
  bulk_record operation;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(bulks, bulk_routes)

BOOST_AUTO_TEST_CASE(an_operation_is_asked_for_with_all_that_is_said) {
  const auto answer = call(method::post, "/api/v1/bulk", R"({"action":"move",
    "filter":{"state":"available","queue":"mail","kind":"send","tag":"a\"b","limit_key":"k",
              "created_after":"2030-01-31T08:00:00Z","created_before":"2030-01-31T09:00:00+00:00"},
    "to":{"queue":"post","priority":3}})");
  BOOST_TEST(answer.status == 202);
  BOOST_TEST(answer.location == "/api/v1/bulk/5");
  const auto what = asked<start_bulk>().what;
  BOOST_TEST(to_string(what.action) == "move");
  BOOST_TEST(to_string(what.filter.state.value()) == "available");
  BOOST_TEST(what.filter.queue.value() == "mail");
  BOOST_TEST(what.filter.kind.value() == "send");
  BOOST_TEST(what.filter.tags.at(0) == "a\"b");
  BOOST_TEST(what.filter.limit_key.value() == "k");
  BOOST_TEST((*what.filter.created_before - *what.filter.created_from == std::chrono::hours{1}));
  BOOST_TEST(!what.all);
  BOOST_TEST(what.to_queue.value() == "post");
  BOOST_TEST(what.to_priority.value() == 3);
  const auto said = json::parse(answer.body);
  BOOST_TEST(said["id"] == "5");
  BOOST_TEST(said["filter"]["queue"] == "mail");
  BOOST_TEST(said["ids"].is_null());
  BOOST_TEST(said["to"]["queue"] == "post");
  BOOST_TEST(said["to"]["priority"].is_null());
  BOOST_TEST(said["matched"] == 12);
  BOOST_TEST(said["changed"] == 10);
  BOOST_TEST(said["skipped"] == 2);
  BOOST_TEST(said["reached"] == "40");
  BOOST_TEST(said["up_to"] == "99");
  BOOST_TEST(said["created_by"] == "ada");
  BOOST_TEST(said["ended_at"].is_null());
  BOOST_TEST(said["error"].is_null());
}

BOOST_AUTO_TEST_CASE(an_operation_takes_what_a_list_takes) {
  BOOST_TEST(call(method::post, "/api/v1/bulk", R"({"action":"cancel","filter":{
    "tags":["a","b"],"created_from":"2030-01-31T08:00:00Z","args":{"n":[1, 2]}}})")
                 .status
             == 202);
  const auto what = asked<start_bulk>().what;
  BOOST_TEST((what.filter.tags == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(what.filter.created_from.has_value());
  BOOST_TEST(what.filter.args == R"({"n":[1,2]})");
}

BOOST_AUTO_TEST_CASE(a_dry_run_asks_for_a_preview_and_nothing_else) {
  const auto answer =
      call(method::post, "/api/v1/bulk", R"({"action":"delete","ids":["3",4],"dry_run":true})");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(engine->asked().size() == 1U);
  BOOST_TEST((asked<preview_bulk>().what.ids == std::vector{job_id{3}, job_id{4}}));
  const auto said = json::parse(answer.body);
  BOOST_TEST(said["matched"] == 10'000);
  BOOST_TEST(said["more"] == true);
  BOOST_TEST(said["sample"] == json::parse(R"(["3","4"])"));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_told_by_its_pointer) {
  BOOST_TEST(fault_of_bulk("[]") == "");
  BOOST_TEST(fault_of_bulk(R"({"filter":{"all":true}})") == "/action");
  BOOST_TEST(fault_of_bulk(R"({"action":"drop","filter":{"all":true}})") == "/action");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel"})") == "");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{}})") == "/filter");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"all":false}})") == "/filter/all");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"que":"a"}})") == "/filter/que");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"queue":""}})") == "/filter/queue");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"state":"odd"}})") == "/filter/state");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"tag":7}})") == "/filter/tag");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"tags":["a",7]}})") == "/filter/tags/1");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"tags":["a"],"tag":"b"}})")
             == "/filter/tag");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"args":{}}})") == "/filter/args");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"args":{"a":"\u0000"}}})")
             == "/filter/args/a");
  BOOST_TEST(
      fault_of_bulk(
          R"({"action":"cancel","filter":{"created_after":"2030-01-31T08:00:00Z","created_from":"2030-01-31T08:00:00Z"}})")
      == "/filter/created_after");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"created_after":"soon"}})")
             == "/filter/created_after");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","ids":[]})") == "/ids");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","ids":["1","x"]})") == "/ids/1");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","ids":["1"],"filter":{"all":true}})") == "");
  BOOST_TEST(fault_of_bulk(R"({"action":"move","filter":{"all":true}})") == "/to/queue");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"all":true},"to":{"queue":"a"}})")
             == "/to/queue");
  BOOST_TEST(fault_of_bulk(R"({"action":"reprioritise","filter":{"all":true}})") == "/to/priority");
  BOOST_TEST(
      fault_of_bulk(R"({"action":"reprioritise","filter":{"all":true},"to":{"priority":10}})")
      == "/to/priority");
  BOOST_TEST(fault_of_bulk(R"({"action":"retry","filter":{"queue":"a"}})") == "/filter/state");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"all":true},"dry_run":1})")
             == "/dry_run");
  BOOST_TEST(fault_of_bulk(R"({"action":"cancel","filter":{"all":true},"now":1})") == "/now");
}

BOOST_AUTO_TEST_CASE(operations_are_shown_listed_and_stopped) {
  BOOST_TEST(call(method::get, "/api/v1/bulk/5").status == 200);
  BOOST_TEST(asked<get_bulk>().id == 5);
  BOOST_TEST(call(method::post, "/api/v1/bulk/5/cancel", "{}").status == 200);
  BOOST_TEST(asked<cancel_bulk>().id == 5);
  BOOST_TEST(call(method::get, "/api/v1/bulk/x").status == 404);
  const auto page = json::parse(call(method::get, "/api/v1/bulk?limit=2&before=9").body);
  BOOST_TEST(asked<list_bulks>().before == 9);
  BOOST_TEST(asked<list_bulks>().limit == 2);
  BOOST_TEST(page["operations"].size() == 2U);
  BOOST_TEST(page["next"] == "5");
  BOOST_TEST(call(method::get, "/api/v1/bulk?limit=101").status == 400);
  BOOST_TEST(call(method::get, "/api/v1/bulk?after=1").status == 400);
}

BOOST_AUTO_TEST_CASE(an_edit_says_what_changes_and_null_takes_away) {
  BOOST_TEST(call(method::patch, "/api/v1/jobs/17", R"({"args":{"n":1.50},"priority":2,
    "queue":"q","max_attempts":3,"timeout_ms":null,"tags":["a"],"run_at":null})")
                 .status
             == 200);
  auto ask = asked<edit_job>();
  BOOST_TEST(ask.id.value == 17);
  BOOST_TEST(ask.args.value() == R"({"n":1.50})");
  BOOST_TEST(ask.priority.value() == 2);
  BOOST_TEST(ask.queue.value() == "q");
  BOOST_TEST(ask.max_attempts.value() == 3);
  BOOST_TEST((ask.timeout && !*ask.timeout));
  BOOST_TEST((ask.tags == std::vector<std::string>{"a"}));
  BOOST_TEST((ask.run_at && !*ask.run_at));
  call(method::patch, "/api/v1/jobs/17", R"({"timeout_ms":5,"tags":[]})");
  ask = asked<edit_job>();
  BOOST_TEST((**ask.timeout == std::chrono::milliseconds{5}));
  BOOST_TEST(ask.tags.value().empty());
  BOOST_TEST(!ask.args.has_value());
  BOOST_TEST(!ask.run_at.has_value());
}

BOOST_AUTO_TEST_CASE(an_edit_of_what_cannot_be_changed_is_refused) {
  BOOST_TEST(fault_of_edit("{}") == "");
  BOOST_TEST(fault_of_edit("7") == "");
  BOOST_TEST(fault_of_edit(R"({"kind":"echo"})") == "/kind");
  BOOST_TEST(fault_of_edit(R"({"limit_key":"a"})") == "/limit_key");
  BOOST_TEST(fault_of_edit(R"({"priority":10})") == "/priority");
  BOOST_TEST(fault_of_edit(R"({"priority":null})") == "/priority");
  BOOST_TEST(fault_of_edit(R"({"queue":"a b"})") == "/queue");
  BOOST_TEST(fault_of_edit(R"({"max_attempts":0})") == "/max_attempts");
  BOOST_TEST(fault_of_edit(R"({"tags":["a",""]})") == "/tags/1");
  BOOST_TEST(fault_of_edit(R"({"run_at":"soon"})") == "/run_at");
  BOOST_TEST(call(method::patch, "/api/v1/jobs/x", "{}").status == 404);
}

BOOST_AUTO_TEST_CASE(refusals_of_the_engine_are_passed_on) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::conflict, "job 17 is running and waits no more"});
  });
  BOOST_TEST(call(method::patch, "/api/v1/jobs/17", R"({"priority":1})").status == 409);
  BOOST_TEST(call(method::post, "/api/v1/bulk/5/cancel").status == 409);
}

BOOST_AUTO_TEST_CASE(nothing_is_moved_into_a_queue_of_the_engine) {
  const auto code_of = [&](method verb, std::string_view target, std::string_view body) {
    const auto answer = call(verb, target, body);
    BOOST_TEST(answer.status == 403);
    return answer.fault ? answer.fault->code : "";
  };
  for (const std::string more : {"", R"(,"dry_run":true)"})
    BOOST_TEST(
        code_of(method::post, "/api/v1/bulk",
                R"({"action":"move","ids":["1"],"to":{"queue":"troupe.exports"})" + more + "}")
        == "queue_reserved");
  BOOST_TEST(code_of(method::patch, "/api/v1/jobs/17", R"({"queue":"troupe.exports"})")
             == "queue_reserved");
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_SUITE_END()
