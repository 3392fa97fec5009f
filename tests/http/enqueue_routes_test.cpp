// Putting jobs in by HTTP: what is answered when a unique job meets another one, and when a request
// comes again with its key.
#include "http/framing.hpp"
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <limits>
#include <optional>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;
using fate = enqueue_fate;

namespace {

struct entrance {
  entrance() {
    context.ask = engine;
    context.kinds = {"echo"};
    add_job_routes(table, context, limits);
  }
  /// The engine stores jobs with this outcome.
  void outcome(enqueued_jobs stored) {
    stored.created_at = timestamp{std::chrono::seconds{1'700'000'000}};
    engine->on_ask([stored](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<enqueue_jobs>(asked))
        reply(stored);
      else
        reply(canned_engine::usual(asked));
    });
  }
  response post(std::string_view path, std::string_view body, std::vector<head_field> fields = {}) {
    auto matched = table.match(method::post, path);
    request_head head;
    head.fields = std::move(fields);
    request_view request;
    request.verb = method::post;
    request.path = path;
    request.body = body;
    request.head = &head;
    request.who = who ? &*who : nullptr;
    std::optional<response> out;
    std::get<route_match>(matched).found->handle(request,
                                                 [&](response answer) { out = std::move(answer); });
    BOOST_REQUIRE(out);
    return *out;
  }
  response post_one(std::vector<head_field> fields = {}) {
    return post("/api/v1/jobs", R"({"kind":"echo","unique":{}})", std::move(fields));
  }
  response post_two(std::vector<head_field> fields = {}) {
    return post("/api/v1/jobs/bulk", R"({"jobs":[{"kind":"echo"},{"kind":"echo"}]})",
                std::move(fields));
  }
  const enqueue_jobs& asked() {
    kept = std::get<enqueue_jobs>(engine->asked().at(0));
    return kept;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  server_limits limits;
  services context;
  router table;
  enqueue_jobs kept;
  std::optional<token_identity> who;
};

json problem_of(const response& answer) {
  BOOST_REQUIRE(answer.fault);
  return json::parse(to_json(*answer.fault, "", "", ""));
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(putting_jobs_in, entrance)

BOOST_AUTO_TEST_CASE(an_existing_job_is_answered_as_it_is_with_a_mark_and_200) {
  outcome({{job_id{17}}, {}, false, {}, {fate::existing}});
  const auto answer = post_one();
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.location == "");
  BOOST_TEST(json::parse(answer.body)["id"] == "17");
  BOOST_TEST(json::parse(answer.body)["existing"] == true);
  BOOST_TEST(!json::parse(answer.body).contains("replaced"));
  BOOST_TEST((std::get<get_job>(engine->asked().at(1)).id == job_id{17}));
}

BOOST_AUTO_TEST_CASE(a_replaced_job_says_so) {
  outcome({{job_id{17}}, {}, false, {}, {fate::replaced}});
  const auto answer = post_one();
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(json::parse(answer.body)["existing"] == true);
  BOOST_TEST(json::parse(answer.body)["replaced"] == true);
}

BOOST_AUTO_TEST_CASE(a_rejected_job_is_a_conflict_that_names_the_one_in_the_way) {
  outcome({{job_id{17}}, {}, false, {}, {fate::rejected}});
  const auto answer = post_one();
  BOOST_TEST(answer.status == 409);
  const auto fault = problem_of(answer);
  BOOST_TEST(fault["code"] == "conflict");
  BOOST_TEST(fault["existing_id"] == "17");
  BOOST_TEST(fault["errors"][0]["pointer"] == "/unique");
}

BOOST_AUTO_TEST_CASE(of_many_the_rejected_one_is_pointed_at) {
  outcome({{job_id{0}, job_id{0}}, {}, false, {}, {fate::none, fate::rejected}});
  const auto fault = problem_of(post_two());
  BOOST_TEST(fault["errors"][0]["pointer"] == "/jobs/1/unique");
  BOOST_TEST(!fault.contains("existing_id")); // it is one of the same request
}

BOOST_AUTO_TEST_CASE(many_jobs_say_which_of_them_were_there) {
  outcome({{job_id{17}, job_id{18}}, {}, false, {}, {fate::replaced, fate::created}});
  const auto mixed = post_two();
  BOOST_TEST(mixed.status == 201);
  BOOST_TEST(mixed.body == R"({"ids":["17","18"],"existing":[0],"replaced":[0]})");
  outcome({{job_id{17}, job_id{17}}, {}, false, {}, {fate::existing, fate::existing}});
  const auto none_new = post_two();
  BOOST_TEST(none_new.status == 200);
  BOOST_TEST(none_new.body == R"({"ids":["17","17"],"existing":[0,1]})");
}

BOOST_AUTO_TEST_CASE(a_key_goes_to_the_engine_with_the_jobs) {
  post_one({{"idempotency-key", "a b~!"}});
  BOOST_TEST(asked().idempotency_key == "a b~!");
  BOOST_TEST(asked().jobs.front().unique.has_value());
}

BOOST_AUTO_TEST_CASE(a_token_for_some_queues_has_its_keys_for_itself) {
  const auto key_of = [&](std::int64_t token, std::vector<std::string> queues,
                          const std::string& key) {
    who = {token, "ada", role::producer, std::move(queues)};
    post("/api/v1/jobs", R"({"kind":"echo"})", {{"Idempotency-Key", key}});
    return std::get<enqueue_jobs>(engine->asked().back()).idempotency_key;
  };
  BOOST_TEST(key_of(7, {}, "k") == "k");
  const auto scoped = key_of(7, {"default"}, "k");
  BOOST_TEST(scoped == key_of(7, {"default", "mail"}, "k"));
  BOOST_TEST(scoped != "k");
  BOOST_TEST(scoped != key_of(8, {"default"}, "k"));
  BOOST_TEST(scoped != key_of(7, {"default"}, "l"));
  BOOST_TEST(is_valid_key(
      key_of(std::numeric_limits<std::int64_t>::max(), {"default"}, std::string(255, 'k'))));
}

BOOST_AUTO_TEST_CASE(a_wrong_key_is_refused_before_the_engine_is_asked) {
  const std::string longest(255, 'k');
  const std::string longer(256, 'k');
  for (const auto& fields :
       std::vector<std::vector<head_field>>{{{"Idempotency-Key", ""}},
                                            {{"Idempotency-Key", longer}},
                                            {{"Idempotency-Key", "caf\xc3\xa9"}},
                                            {{"Idempotency-Key", "a\tb"}},
                                            {{"Idempotency-Key", "a"}, {"Idempotency-Key", "a"}}}) {
    BOOST_TEST(post_one(fields).status == 400);
    BOOST_TEST(post_two(fields).status == 400);
  }
  BOOST_TEST(engine->asked().empty());
  BOOST_TEST(post_one({{"Idempotency-Key", longest}}).status == 201);
}

BOOST_AUTO_TEST_CASE(a_replayed_answer_is_the_first_one_and_says_so) {
  enqueued_jobs stored{{job_id{17}}, {}, false, {}, {fate::created}, key_use::first};
  outcome(stored);
  const auto first = post_one({{"Idempotency-Key", "k"}});
  stored.use = key_use::replayed;
  outcome(stored);
  const auto again = post_one({{"Idempotency-Key", "k"}});
  BOOST_TEST(!first.replayed);
  BOOST_TEST(again.replayed);
  BOOST_TEST(again.status == 201);
  BOOST_TEST(again.body == first.body);
  BOOST_TEST(again.location == first.location);
  std::string head;
  append_head(head, again, {"", "", true, 11});
  BOOST_TEST(head.find("\r\nIdempotent-Replayed: true\r\n") != std::string::npos);
  head.clear();
  append_head(head, first, {"", "", true, 11});
  BOOST_TEST(head.find("Idempotent-Replayed") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_key_of_another_request_is_422) {
  outcome({{job_id{0}}, {}, false, {}, {fate::none}, key_use::refused});
  const auto answer = post_one({{"Idempotency-Key", "k"}});
  BOOST_TEST(answer.status == 422);
  BOOST_TEST(problem_of(answer)["code"] == "idempotency_key_reused");
  BOOST_TEST(reason_phrase(422) == "Unprocessable Content");
}

BOOST_AUTO_TEST_CASE(of_a_queue_that_this_node_leaves_to_others_it_knows_no_kinds) {
  context.serves = [](const std::string& queue) { return queue != "py"; };
  for (const auto& [job, taken] :
       std::vector<std::pair<std::string, bool>>{{R"({"kind":"resize","queue":"py"})", true},
                                                 {R"({"queue":"py","kind":"resize"})", true},
                                                 {R"({"queue":"py","kind":"a b"})", false},
                                                 {R"({"queue":"py"})", false},
                                                 {R"({"kind":"resize","queue":"mail"})", false},
                                                 {R"({"kind":"resize"})", false}}) {
    const auto one = post("/api/v1/jobs", job);
    BOOST_TEST(one.status == (taken ? 201 : 400), job);
    if (!taken)
      BOOST_TEST(one.fault->errors.at(0).pointer == "/kind", job);
    BOOST_TEST(post("/api/v1/jobs/bulk", R"({"jobs":[)" + job + "]}").status == (taken ? 201 : 400),
               job);
  }
}

BOOST_AUTO_TEST_CASE(a_queue_of_the_engine_takes_no_others_jobs) {
  for (const std::string name : {"troupe.exports", "troupe.", "troupe.a"}) {
    const auto job = R"({"kind":"echo","queue":")" + name + "\"}";
    for (const auto& answer :
         {post("/api/v1/jobs", job),
          post("/api/v1/jobs/bulk", R"({"jobs":[{"kind":"echo"},)" + job + "]}")}) {
      BOOST_TEST(answer.status == 403, name);
      BOOST_TEST(problem_of(answer)["code"] == "queue_reserved", name);
    }
  }
  BOOST_TEST(engine->asked().empty());
  for (const std::string name : {"troupe", "troupe:a", "Troupe.a", "a.troupe.b"})
    BOOST_TEST(post("/api/v1/jobs", R"({"kind":"echo","queue":")" + name + "\"}").status == 201);
}

BOOST_AUTO_TEST_SUITE_END()
