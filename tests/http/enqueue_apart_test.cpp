// Many jobs in one request, each by itself: what the engine is asked, and what is said of each.
#include "http/framing.hpp"
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;
using fate = enqueue_fate;
using use = key_use;

namespace {

struct apart {
  apart() {
    context.ask = engine;
    context.kinds = {"echo"};
    add_job_routes(table, context, limits);
  }
  /// The engine stores jobs with this outcome, one part each.
  void outcome(std::vector<job_id> ids, std::vector<fate> fates, std::vector<use> uses = {}) {
    enqueued_jobs stored;
    stored.ids = std::move(ids);
    stored.fates = std::move(fates);
    uses.resize(stored.ids.size(), use::none);
    for (const auto one : uses)
      stored.parts.push_back({one, timestamp{}});
    engine->on_ask([stored](const api_request&, const canned_engine::reply_function& reply) {
      reply(stored);
    });
  }
  response post(std::string_view body, std::vector<head_field> fields = {},
                std::string_view query = "mode=per_item") {
    auto matched = table.match(method::post, "/api/v1/jobs/bulk");
    request_head head;
    head.fields = std::move(fields);
    request_view request;
    request.verb = method::post;
    request.query = query;
    request.body = body;
    request.head = &head;
    request.who = who;
    std::optional<response> out;
    std::get<route_match>(matched).found->handle(request,
                                                 [&](response answer) { out = std::move(answer); });
    BOOST_REQUIRE(out);
    return *out;
  }
  const token_identity* who = nullptr;
  const enqueue_jobs& asked() {
    BOOST_REQUIRE(!engine->asked().empty());
    kept = std::get<enqueue_jobs>(engine->asked().back());
    return kept;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  services context;
  server_limits limits;
  router table;
  enqueue_jobs kept;
};

const std::string five = R"({"jobs":[{"kind":"echo"},{"kind":"echo","queue":"b"},{"kind":"echo"},)"
                         R"({"kind":"echo"},{"kind":"echo"}]})";

} // namespace

BOOST_FIXTURE_TEST_SUITE(each_by_itself, apart)

BOOST_AUTO_TEST_CASE(each_job_is_a_part_and_hears_of_itself) {
  outcome({{17}, {}, {5}, {6}, {7}},
          {fate::created, fate::no_room, fate::rejected, fate::existing, fate::replaced});
  const auto answer = post(five);
  BOOST_TEST(answer.status == 200);
  const auto body = json::parse(answer.body);
  BOOST_TEST(body["refused"] == 2);
  const auto& results = body["results"];
  BOOST_REQUIRE(results.size() == 5U);
  BOOST_TEST(results[0] == json::parse(R"({"status":201,"id":"17"})"));
  BOOST_TEST(results[1]["status"] == 503);
  BOOST_TEST(results[1]["problem"]["code"] == "overloaded");
  BOOST_TEST(results[1]["problem"]["retryable"] == true);
  BOOST_TEST(results[1]["problem"]["detail"].get<std::string>().starts_with("queue \"b\" is full"));
  BOOST_TEST(results[2] == json::parse(R"({"status":409,"problem":{"code":"conflict",
    "detail":"job 5 has the same unique key","existing_id":"5","retryable":false,
    "errors":[{"pointer":"/jobs/2/unique","detail":"job 5 has the same unique key"}]}})"));
  BOOST_TEST(results[3] == json::parse(R"({"status":200,"id":"6","existing":true})"));
  BOOST_TEST(results[4]
             == json::parse(R"({"status":200,"id":"7","existing":true,"replaced":true})"));
  BOOST_TEST(asked().apart);
  BOOST_REQUIRE(asked().parts.size() == 5U);
  BOOST_TEST(asked().parts[4].jobs == 1U);
  BOOST_TEST(asked().parts[4].idempotency_key.empty());
  BOOST_TEST(asked().idempotency_key.empty());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_not_asked_and_the_others_are) {
  outcome({{17}, {18}}, {fate::created, fate::created});
  const auto body = json::parse(
      post(
          R"({"jobs":[{"kind":"echo"},{"kind":"other","priority":99},7,{"kind":"echo","queue":"b"}]})",
          {{"Idempotency-Key", "k"}})
          .body);
  BOOST_TEST(body["refused"] == 2);
  const auto& results = body["results"];
  BOOST_TEST(results[0]["id"] == "17");
  BOOST_TEST(results[1]["status"] == 400);
  BOOST_TEST(results[1]["problem"]["errors"][0]["pointer"] == "/jobs/1/kind");
  BOOST_TEST(results[1]["problem"]["errors"][1]["pointer"] == "/jobs/1/priority");
  BOOST_TEST(results[2]["problem"]["errors"][0]["pointer"] == "/jobs/2");
  BOOST_TEST(results[3]["id"] == "18");
  BOOST_REQUIRE(asked().jobs.size() == 2U);
  BOOST_TEST(asked().jobs[1].queue == "b");
  // A job's key goes by its place in the request, whatever became of the others.
  BOOST_TEST(asked().parts[0].idempotency_key
             == "k\x1f"
                "0");
  BOOST_TEST(asked().parts[1].idempotency_key
             == "k\x1f"
                "3");
}

BOOST_AUTO_TEST_CASE(where_none_can_be_read_nobody_is_asked) {
  const auto answer = post(R"({"jobs":[1,{"kind":"other"}]})");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(json::parse(answer.body)["refused"] == 2);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(a_request_sent_again_tells_what_was_stored_before) {
  outcome({{17}, {}, {18}, {19}, {20}}, std::vector(5, fate::created),
          {use::replayed, use::refused, use::first, use::first, use::first});
  const auto body = json::parse(post(five, {{"Idempotency-Key", std::string(250, 'k')}}).body);
  BOOST_TEST(body["results"][0] == json::parse(R"({"status":201,"id":"17","replayed":true})"));
  BOOST_TEST(body["results"][1]["status"] == 422);
  BOOST_TEST(body["results"][1]["problem"]["code"] == "idempotency_key_reused");
  BOOST_TEST(!body["results"][2].contains("replayed"));
  const auto before = engine->asked().size();
  BOOST_TEST(post(five, {{"Idempotency-Key", std::string(251, 'k')}}).status == 400);
  BOOST_TEST(engine->asked().size() == before);
}

BOOST_AUTO_TEST_CASE(a_request_that_is_wrong_as_a_whole_is_refused_as_one) {
  for (const auto* body : {"", "[]", "{}", R"({"jobs":[]})", R"({"jobs":[{"kind":"echo"}],"x":1})",
                           R"({"jobs":[{"kind":"echo","kind":"echo"}]})"})
    BOOST_TEST(post(body).status == 400, body);
  for (const auto* query : {"mode=each", "mode", "mode=", "mode=atomic&mode=atomic", "limit=1"})
    BOOST_TEST(post(five, {}, query).status == 400, query);
  BOOST_TEST(engine->asked().empty());
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::unavailable, "no connection"});
  });
  BOOST_TEST(post(five).status == 503);
  outcome({{17}}, {fate::created}); // of one, where five were asked
  BOOST_TEST(post(five).status == 500);
}

BOOST_AUTO_TEST_CASE(all_or_none_is_what_is_done_without_a_mode) {
  for (const auto* query : {"", "mode=atomic"}) {
    const auto answer = post(R"({"jobs":[{"kind":"echo"},{"kind":"echo"}]})", {}, query);
    BOOST_TEST(answer.status == 201);
    BOOST_TEST(json::parse(answer.body)["ids"].size() == 2U);
    BOOST_TEST(!asked().apart);
    BOOST_TEST(asked().parts.empty());
  }
}

BOOST_AUTO_TEST_CASE(problems_have_a_bound_beyond_which_they_are_only_named) {
  limits.problem_bytes = 1000;
  std::string jobs;
  for (int i = 0; i < 100; ++i)
    jobs += std::string{jobs.empty() ? "" : ","} + R"({"kind":"other"})";
  const auto answer = post(R"({"jobs":[)" + jobs + "]}");
  const auto body = json::parse(answer.body);
  BOOST_TEST(body["refused"] == 100);
  const auto& results = body["results"];
  BOOST_TEST(!results[0]["problem"]["errors"].empty());
  for (const auto& one : results)
    BOOST_TEST(one["problem"]["code"] == "invalid_argument");
  BOOST_TEST(results[99]["problem"]["errors"].empty());
  BOOST_TEST(answer.body.size() < 1000U + 100 * 200);
}

BOOST_AUTO_TEST_CASE(of_a_token_for_some_queues_what_is_for_others_is_refused_by_itself) {
  const token_identity mailer{.id = 1, .name = "mailer", .may = role::producer, .queues = {"mail"}};
  who = &mailer;
  outcome({job_id{7}}, {fate::created});
  const auto answer = json::parse(
      post(R"({"jobs":[{"kind":"echo","queue":"mail"},{"kind":"echo","queue":"news"}]})").body);
  BOOST_TEST(asked().jobs.size() == 1U);
  BOOST_TEST(answer.at("results").at(0).at("status") == 201);
  BOOST_TEST(answer.at("results").at(1).at("status") == 403);
  BOOST_TEST(answer.at("results").at(1).at("problem").at("code") == "queue_not_allowed");
}

BOOST_AUTO_TEST_CASE(what_is_for_a_queue_of_the_engine_is_refused_by_itself) {
  outcome({job_id{7}}, {fate::created});
  const auto answer = json::parse(
      post(R"({"jobs":[{"kind":"echo","queue":"troupe.exports"},{"kind":"echo"}]})").body);
  BOOST_TEST(asked().jobs.size() == 1U);
  BOOST_TEST(answer.at("results").at(0).at("status") == 403);
  BOOST_TEST(answer.at("results").at(0).at("problem").at("code") == "queue_reserved");
  BOOST_TEST(answer.at("results").at(1).at("status") == 201);
}

BOOST_AUTO_TEST_SUITE_END()
