// /api/v1/jobs/{id}/why without a socket: what is asked of the engine, and how its answer is
// written.
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

struct why_route {
  why_route() {
    context.ask = engine;
    add_why_route(table, context);
    engine->on_ask(
        [this](const api_request&, const canned_engine::reply_function& reply) { reply(answer); });
  }

  response get(std::string_view path) {
    auto matched = table.match(method::get, path);
    if (auto* refused = std::get_if<response>(&matched))
      return *refused;
    auto& found = std::get<route_match>(matched);
    request_view request;
    request.param = found.param;
    std::optional<response> out;
    found.found->handle(request, [&](response given) { out = std::move(given); });
    BOOST_REQUIRE(out);
    return *out;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  api_reply answer;
  services context;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(about_why, why_route)

BOOST_AUTO_TEST_CASE(the_reason_is_written_with_all_its_figures) {
  job_hold hold;
  hold.id = job_id{17};
  hold.reason = hold_reason::key_limit;
  hold.queue = "mail";
  hold.kind = "send";
  hold.limit_key = "a\"da";
  hold.allowed = 2;
  hold.in_use = 3;
  hold.ahead = 10'000;
  hold.more_ahead = true;
  hold.nodes = 4;
  answer = hold;
  const auto shown = get("/api/v1/jobs/17/why");
  BOOST_TEST(shown.status == 200);
  BOOST_TEST(json::parse(shown.body) == json::parse(R"({"id":"17","state":"available",
    "reason":"key_limit","queue":"mail","kind":"send","limit_key":"a\"da","node":null,
    "since":null,"due_at":null,"allowed":2,"in_use":3,"ahead":10000,"more_ahead":true,
    "nodes":4,"error":null,"holder":null})"));
  BOOST_TEST((std::get<explain_job>(engine->asked().back()).id == job_id{17}));
}

BOOST_AUTO_TEST_CASE(times_node_and_error_are_written_where_there_are_some) {
  job_hold hold;
  hold.id = job_id{1};
  hold.state = job_state::retryable;
  hold.reason = hold_reason::time;
  hold.node = "one";
  hold.since = timestamp{std::chrono::seconds{1'700'000'000}};
  hold.due_at = timestamp{std::chrono::milliseconds{1'700'000'000'500}};
  hold.error = "no handler";
  answer = hold;
  const auto shown = json::parse(get("/api/v1/jobs/1/why").body);
  BOOST_TEST(shown["state"] == "retryable");
  BOOST_TEST(shown["reason"] == "time");
  BOOST_TEST(shown["node"] == "one");
  BOOST_TEST(shown["since"] == "2023-11-14T22:13:20Z");
  BOOST_TEST(shown["due_at"] == "2023-11-14T22:13:20.5Z");
  BOOST_TEST(shown["error"] == "no handler");
  BOOST_TEST(shown["ahead"].is_null());
  hold.reason = hold_reason::order;
  hold.holder = job_id{16};
  answer = hold;
  const auto behind = json::parse(get("/api/v1/jobs/1/why").body);
  BOOST_TEST(behind["reason"] == "order");
  BOOST_TEST(behind["holder"] == "16");
}

BOOST_AUTO_TEST_CASE(what_is_no_job_is_not_found) {
  for (const auto* path : {"/api/v1/jobs/0/why", "/api/v1/jobs/x/why", "/api/v1/jobs/-1/why"})
    BOOST_TEST(get(path).status == 404, path);
  BOOST_TEST(engine->asked().empty());
  answer = failure{errc::not_found, "there is no job 5"};
  BOOST_TEST(get("/api/v1/jobs/5/why").status == 404);
}

BOOST_AUTO_TEST_SUITE_END()
