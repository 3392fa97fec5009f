// /api/v1/tokens and /api/v1/audit without a socket: what is asked of the engine, where the secret
// goes, and how answers are written.
#include "http/bearer_token.hpp"
#include "http/json_tokens.hpp"
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

struct token_routes {
  token_routes() {
    context.ask = engine;
    add_token_routes(table, context, limits);
    token.id = 7;
    token.name = "ci";
    token.hint = "trp_abcd1234";
    token.may = role::producer;
    token.queues = {"mail", "news"};
    token.created_at = timestamp{std::chrono::seconds{1'700'000'000}};
    engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<list_tokens>(asked))
        return reply(token_page{{token, token}, 7});
      if (std::holds_alternative<list_audit>(asked))
        return reply(audit_page{{{3, token.created_at, "ada", 7, "queue.limit", "mail", "r-1",
                                  R"({"concurrency": {"from": null, "to": 3}})"},
                                 {2, token.created_at, "anyone", {}, "job.cancel", "17", "", {}}},
                                2});
      reply(token);
    });
  }

  response call(method verb, std::string_view target, std::string_view body = {}) {
    request_view request;
    request.body = body;
    const token_identity ada{5, "ada", role::admin, {}};
    request.who = &ada;
    request.request_id = "r-2";
    return tests::routed_call(table, verb, target, request);
  }
  response create(std::string_view body) { return call(method::post, "/api/v1/tokens", body); }
  std::string pointer_of(std::string_view body) {
    const auto answer = create(body);
    BOOST_TEST(answer.status == 400, body);
    BOOST_REQUIRE(answer.fault && !answer.fault->errors.empty());
    return answer.fault->errors[0].pointer;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  token_record token;
  services context;
  server_limits limits;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(tokens, token_routes)

BOOST_AUTO_TEST_CASE(a_secret_is_told_once_and_only_its_hash_goes_further) {
  const auto answer =
      create(R"({"name":"ci","role":"producer","queues":["mail","news"],"expires_in_ms":60000})");
  BOOST_TEST(answer.status == 201);
  const auto told = json::parse(answer.body);
  const auto secret = bearer_token::parse(told["secret"].get<std::string>());
  BOOST_REQUIRE(secret.has_value());
  const auto asked = std::get<create_token>(engine->asked().back());
  BOOST_TEST(asked.hash == secret->hash());
  BOOST_TEST(asked.hint == secret->hint());
  BOOST_TEST(asked.name == "ci");
  BOOST_TEST((asked.may == role::producer));
  BOOST_TEST((asked.queues == std::vector<std::string>{"mail", "news"}));
  BOOST_TEST((asked.valid_for == std::chrono::minutes{1}));
  BOOST_TEST(asked.by.who == "ada");
  BOOST_TEST(asked.by.token.value_or(0) == 5);
  BOOST_TEST(asked.by.request_id == "r-2");
  const auto again = json::parse(create(R"({"name":"ci","role":"admin"})").body);
  BOOST_TEST(again["secret"] != told["secret"]);
  BOOST_TEST(told["token"]["id"] == "7");
  BOOST_TEST(!std::get<create_token>(engine->asked().back()).valid_for.has_value());
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_new_token_is_told_by_its_place) {
  for (const auto& [body, pointer] : std::vector<std::pair<std::string, std::string>>{
           {R"([])", ""},
           {R"({"role":"viewer"})", "/name"},
           {R"({"name":"ci"})", "/role"},
           {R"({"name":"a b","role":"viewer"})", "/name"},
           {R"({"name":1,"role":"viewer"})", "/name"},
           {R"({"name":"ci","role":"root"})", "/role"},
           {R"({"name":"ci","role":"anyone"})", "/role"},
           {R"({"name":"ci","role":"viewer","queues":[]})", "/queues"},
           {R"({"name":"ci","role":"viewer","queues":"mail"})", "/queues"},
           {R"({"name":"ci","role":"viewer","queues":["mail","a b"]})", "/queues/1"},
           {R"({"name":"ci","role":"admin","queues":["mail"]})", "/queues"},
           {R"({"name":"ci","role":"viewer","expires_in_ms":0})", "/expires_in_ms"},
           {R"({"name":"ci","role":"viewer","expires_in_ms":315360000001})", "/expires_in_ms"},
           {R"({"name":"ci","role":"viewer","expires_in_ms":"1h"})", "/expires_in_ms"},
           {R"({"name":"ci","role":"viewer","secret":"trp_x"})", "/secret"}})
    BOOST_TEST(pointer_of(body) == pointer, body);
  std::string many = R"({"name":"ci","role":"viewer","queues":["q")";
  for (int i = 0; i < 100; ++i)
    many += ",\"q\"";
  BOOST_TEST(pointer_of(many + "]}") == "/queues");
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(tokens_are_listed_without_a_secret) {
  token.queues.clear();
  token.expires_at = token.created_at + std::chrono::hours{1};
  token.last_used_on = std::chrono::sys_days{std::chrono::days{19'675}};
  token.standing = token_standing::expired;
  const auto answer = call(method::get, "/api/v1/tokens?limit=2&after=5");
  const auto asked = std::get<list_tokens>(engine->asked().back());
  BOOST_TEST(asked.after == 5);
  BOOST_TEST(asked.limit == 2);
  const auto page = json::parse(answer.body);
  BOOST_TEST(page["next"] == "7");
  BOOST_TEST(page["tokens"].size() == 2U);
  BOOST_TEST(page["tokens"][0]
             == json::parse(R"({"id":"7","name":"ci","hint":"trp_abcd1234","role":"producer",
    "queues":null,"state":"expired","created_at":"2023-11-14T22:13:20Z",
    "expires_at":"2023-11-14T23:13:20Z","revoked_at":null,"last_used_on":"2023-11-14"})"));
  for (const auto* wrong : {"?after=x", "?after=-1", "?limit=0", "?limit=501", "?name=ci"})
    BOOST_TEST(call(method::get, std::string{"/api/v1/tokens"} + wrong).status == 400, wrong);
}

BOOST_AUTO_TEST_CASE(a_token_is_revoked_by_its_id) {
  const auto answer = call(method::post, "/api/v1/tokens/7/revoke");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(json::parse(answer.body)["queues"] == json({"mail", "news"}));
  const auto asked = std::get<revoke_token>(engine->asked().back());
  BOOST_TEST(asked.id == 7);
  BOOST_TEST(asked.by.who == "ada");
  BOOST_TEST(call(method::post, "/api/v1/tokens/x/revoke").status == 404);
  BOOST_TEST(call(method::post, "/api/v1/tokens/7/revoke", R"({"a":1})").status == 400);
}

BOOST_AUTO_TEST_CASE(the_audit_is_read_by_pages) {
  const auto page = json::parse(call(method::get, "/api/v1/audit?before=9&limit=2").body);
  const auto asked = std::get<list_audit>(engine->asked().back());
  BOOST_TEST(asked.before == 9);
  BOOST_TEST(asked.limit == 2);
  BOOST_TEST(page == json::parse(R"({"entries":[
    {"id":"3","at":"2023-11-14T22:13:20Z","who":"ada","token":"7","action":"queue.limit",
     "subject":"mail","request_id":"r-1","changes":{"concurrency":{"from":null,"to":3}}},
    {"id":"2","at":"2023-11-14T22:13:20Z","who":"anyone","token":null,"action":"job.cancel",
     "subject":"17","request_id":"","changes":null}],"next":"2"})"));
  for (const auto* wrong : {"?before=0", "?before=x", "?limit=501", "?who=ada"})
    BOOST_TEST(call(method::get, std::string{"/api/v1/audit"} + wrong).status == 400, wrong);
}

BOOST_AUTO_TEST_SUITE_END()
