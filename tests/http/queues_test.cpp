// /api/v1/queues without a socket: what is asked of the engine, and how its answers are written.
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

struct queue_routes {
  queue_routes() {
    context.ask = engine;
    add_queue_routes(table, context, limits);
    queue.name = "mail";
    engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<list_queues>(asked))
        return reply(queue_page{{queue, queue}, "mail"});
      reply(queue);
    });
  }

  response call(method verb, std::string_view target, std::string_view body = {},
                std::vector<head_field> fields = {}) {
    request_head head;
    head.fields = std::move(fields);
    request_view request;
    request.body = body;
    request.head = &head;
    return tests::routed_call(table, verb, target, request);
  }
  template<class Question>
  Question asked() {
    BOOST_REQUIRE(!engine->asked().empty());
    return std::get<Question>(engine->asked().back());
  }
  std::string pointer_of(std::string_view body) {
    const auto answer = call(method::patch, "/api/v1/queues/mail", body);
    BOOST_TEST(answer.status == 400);
    BOOST_REQUIRE(answer.fault && !answer.fault->errors.empty());
    return answer.fault->errors[0].pointer;
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  services context;
  server_limits limits;
  router table;
  queue_record queue;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(about_queues, queue_routes)

BOOST_AUTO_TEST_CASE(a_queue_is_shown_with_all_it_has) {
  queue.concurrency = 3;
  queue.waiting = 10'000;
  queue.max_waiting = 20'000;
  queue.running = 2;
  queue.version = 4;
  queue.paused_at = timestamp{std::chrono::seconds{1'700'000'000}};
  const auto shown = json::parse(call(method::get, "/api/v1/queues/mail").body);
  BOOST_TEST(shown == json::parse(R"({"name":"mail","paused":true,
    "paused_at":"2023-11-14T22:13:20Z","concurrency":3,"rate":null,"key_concurrency":null,
    "key_rate":null,"ordered":false,"max_waiting":20000,"waiting":10000,
    "running":2,"version":4,"changed_at":null})"));
  BOOST_TEST(asked<get_queue>().name == "mail");
}

BOOST_AUTO_TEST_CASE(how_many_may_wait_is_a_number_or_null) {
  call(method::patch, "/api/v1/queues/mail", R"({"max_waiting":1000})");
  BOOST_TEST(**asked<limit_queue>().max_waiting == 1000);
  BOOST_TEST(!asked<limit_queue>().concurrency.has_value());
  call(method::patch, "/api/v1/queues/mail", R"({"max_waiting":null})");
  BOOST_REQUIRE(asked<limit_queue>().max_waiting.has_value());
  BOOST_TEST(!asked<limit_queue>().max_waiting->has_value());
  for (const auto* wrong : {"0", "1000000001", "-1", "1.5", "\"1\"", "true"})
    BOOST_TEST(pointer_of(R"({"max_waiting":)" + std::string{wrong} + "}") == "/max_waiting",
               wrong);
}

BOOST_AUTO_TEST_CASE(a_list_says_where_the_next_page_begins) {
  const auto page = json::parse(call(method::get, "/api/v1/queues?limit=2&after=a").body);
  BOOST_TEST(page["queues"].size() == 2U);
  BOOST_TEST(page["next"] == "mail");
  BOOST_TEST(asked<list_queues>().limit == 2);
  BOOST_TEST(asked<list_queues>().after == "a");
  for (const auto* wrong : {"limit=0", "limit=501", "limit=x", "after=a%20b", "state=x", "limit"})
    BOOST_TEST(call(method::get, std::string{"/api/v1/queues?"} + wrong).status == 400);
}

BOOST_AUTO_TEST_CASE(pause_resume_and_drain_take_no_body) {
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/pause", "{}").status == 200);
  BOOST_TEST(asked<pause_queue>().paused);
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/resume").status == 200);
  BOOST_TEST(!asked<pause_queue>().paused);
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/drain").status == 200);
  BOOST_TEST(asked<pause_queue>().paused);
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/pause", R"({"for":1})").status == 400);
  BOOST_TEST(call(method::post, "/api/v1/queues/a%20b/pause").status == 404);
}

BOOST_AUTO_TEST_CASE(a_limit_is_set_and_removed) {
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})").status == 200);
  BOOST_TEST(**asked<limit_queue>().concurrency == 7);
  BOOST_TEST(!asked<limit_queue>().rate.has_value());
  BOOST_TEST(asked<limit_queue>().name == "mail");
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", R"({"concurrency":null})").status == 200);
  BOOST_REQUIRE(asked<limit_queue>().concurrency.has_value());
  BOOST_TEST(!asked<limit_queue>().concurrency->has_value());
}

BOOST_AUTO_TEST_CASE(limits_per_key_are_set_shown_and_removed) {
  const auto* body = R"({"key_concurrency":2,"key_rate":{"jobs":10,"period_ms":60000,"burst":5}})";
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", body).status == 200);
  const auto ask = asked<limit_queue>();
  BOOST_TEST(!ask.concurrency.has_value());
  BOOST_TEST(!ask.rate.has_value());
  BOOST_TEST(**ask.key_concurrency == 2);
  BOOST_TEST((**ask.key_rate).burst == 5);
  queue.key_concurrency = *ask.key_concurrency;
  queue.key_rate = *ask.key_rate;
  const auto shown = json::parse(call(method::get, "/api/v1/queues/mail").body);
  BOOST_TEST(shown["key_concurrency"] == 2);
  BOOST_TEST(shown["key_rate"] == json::parse(R"({"jobs":10,"period_ms":60000,"burst":5})"));
  BOOST_TEST(shown["rate"].is_null());
  call(method::patch, "/api/v1/queues/mail", R"({"key_concurrency":null,"key_rate":null})");
  BOOST_TEST(!asked<limit_queue>().key_concurrency->has_value());
  BOOST_TEST(!asked<limit_queue>().key_rate->has_value());
  BOOST_TEST(pointer_of(R"({"key_concurrency":0})") == "/key_concurrency");
  call(method::patch, "/api/v1/queues/mail", R"({"ordered":true})");
  BOOST_TEST((asked<limit_queue>().ordered == true));
  BOOST_TEST(!asked<limit_queue>().concurrency.has_value());
  BOOST_TEST(pointer_of(R"({"ordered":null})") == "/ordered");
  BOOST_TEST(pointer_of(R"({"ordered":1})") == "/ordered");
  BOOST_TEST(pointer_of(R"({"key_rate":{"jobs":0}})") == "/key_rate/jobs");
}

BOOST_AUTO_TEST_CASE(a_rate_is_set_shown_and_removed) {
  const auto* body = R"({"rate":{"jobs":10,"period_ms":60000,"burst":5}})";
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", body).status == 200);
  const auto asked_for = **asked<limit_queue>().rate;
  BOOST_TEST(!asked<limit_queue>().concurrency.has_value());
  BOOST_TEST(asked_for.jobs == 10);
  BOOST_TEST(asked_for.period.count() == 60'000);
  BOOST_TEST(asked_for.burst == 5);
  queue.rate = asked_for;
  const auto shown = json::parse(call(method::get, "/api/v1/queues/mail").body);
  BOOST_TEST(shown["rate"] == json::parse(R"({"jobs":10,"period_ms":60000,"burst":5})"));
  call(method::patch, "/api/v1/queues/mail", R"({"rate":{"jobs":1}})"); // a second, one at once
  BOOST_TEST((**asked<limit_queue>().rate).period.count() == 1000);
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", R"({"rate":null})").status == 200);
  BOOST_REQUIRE(asked<limit_queue>().rate.has_value());
  BOOST_TEST(!asked<limit_queue>().rate->has_value());
}

BOOST_AUTO_TEST_CASE(what_is_no_limit_is_refused_with_a_pointer) {
  BOOST_TEST(pointer_of(R"({"concurrency":0})") == "/concurrency");
  BOOST_TEST(pointer_of(R"({"concurrency":1000001})") == "/concurrency");
  BOOST_TEST(pointer_of(R"({"concurrency":"3"})") == "/concurrency");
  BOOST_TEST(pointer_of(R"({"concurrency":1.5})") == "/concurrency");
  BOOST_TEST(pointer_of(R"({"concurrency":3,"colour":1})") == "/colour");
  BOOST_TEST(pointer_of(R"({"rate":5})") == "/rate");
  BOOST_TEST(pointer_of(R"({"rate":{}})") == "/rate/jobs");
  BOOST_TEST(pointer_of(R"({"rate":{"jobs":0}})") == "/rate/jobs");
  BOOST_TEST(pointer_of(R"({"rate":{"jobs":1,"period_ms":86400001}})") == "/rate/period_ms");
  BOOST_TEST(pointer_of(R"({"rate":{"jobs":1,"burst":null}})") == "/rate/burst");
  BOOST_TEST(pointer_of(R"({"rate":{"jobs":1,"per":"s"}})") == "/rate/per");
  BOOST_TEST(pointer_of(R"({"rate":{"jobs":2000,"period_ms":1}})") == "/rate");
  BOOST_TEST(pointer_of("{}") == "");
  BOOST_TEST(pointer_of("[]") == "");
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(an_unknown_queue_is_404) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::not_found, "there is no queue mail"});
  });
  BOOST_TEST(call(method::get, "/api/v1/queues/mail").status == 404);
}

BOOST_AUTO_TEST_CASE(a_change_of_an_unknown_queue_is_404_unless_it_may_be_made) {
  engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
    if (std::holds_alternative<get_queue>(asked))
      return reply(failure{errc::not_found, "there is no queue mail"});
    reply(queue);
  });
  for (const auto* what : {"pause", "drain"}) {
    const auto path = std::string{"/api/v1/queues/mail/"} + what;
    const auto unknown = call(method::post, path);
    BOOST_TEST(unknown.status == 404);
    BOOST_TEST(unknown.fault->detail.find("create=true") != std::string::npos);
    BOOST_TEST(call(method::post, path + "?create=false").status == 404);
    BOOST_TEST(call(method::post, path, {}, {{"If-Match", "*"}}).status == 404);
    BOOST_TEST(asked<get_queue>().name == "mail");
    BOOST_TEST(call(method::post, path + "?create=true").status == 200);
    BOOST_TEST(asked<pause_queue>().name == "mail");
  }
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/resume?create=true").status == 400);
  const auto* body = R"({"concurrency":7})";
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", body).status == 404);
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail?create=true", body).status == 200);
  BOOST_TEST(asked<limit_queue>().name == "mail");
  for (const auto* wrong : {"create=1", "create", "make=true", "create=true&create=true"}) {
    BOOST_TEST(call(method::patch, std::string{"/api/v1/queues/mail?"} + wrong, body).status
               == 400);
    BOOST_TEST(call(method::post, std::string{"/api/v1/queues/mail/pause?"} + wrong).status == 400);
  }
}

BOOST_AUTO_TEST_CASE(a_queue_that_cannot_be_looked_up_is_not_changed) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::unavailable, "no connection"});
  });
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/pause").status == 503);
  BOOST_TEST(asked<get_queue>().name == "mail");
}

BOOST_AUTO_TEST_CASE(a_queue_has_a_tag_that_changes_with_what_is_said_of_it) {
  queue.version = 4;
  const auto shown = call(method::get, "/api/v1/queues/mail");
  BOOST_TEST(shown.etag == "\"4\"");
  BOOST_TEST(!shown.keep); // what waits and runs is not in it
  BOOST_TEST(call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})").etag == "\"4\"");
  BOOST_TEST(call(method::post, "/api/v1/queues/mail/pause").etag == "\"4\"");
  for (const auto* known : {"\"4\"", "W/\"4\"", "\"3\" , \"4\"", "*", ",\"4\",,"}) {
    const auto again = call(method::get, "/api/v1/queues/mail", {}, {{"If-None-Match", known}});
    BOOST_TEST(again.status == 304, known);
    BOOST_TEST(again.body.empty());
    BOOST_TEST(again.etag == "\"4\"");
  }
  for (const auto* other : {"\"3\"", "\"44\"", "W/\"\""})
    BOOST_TEST(call(method::get, "/api/v1/queues/mail", {}, {{"If-None-Match", other}}).status
                   == 200,
               other);
}

BOOST_AUTO_TEST_CASE(a_change_asks_for_the_versions_that_were_named) {
  const auto versions = [&](std::vector<head_field> fields) {
    call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})", fields);
    const auto limited = asked<limit_queue>().only_at;
    call(method::post, "/api/v1/queues/mail/resume", {}, std::move(fields));
    const auto paused = asked<pause_queue>().only_at;
    BOOST_TEST(limited.has_value() == paused.has_value());
    if (limited)
      BOOST_TEST((limited->any == paused->any && limited->one_of == paused->one_of));
    return limited;
  };
  using numbers = std::vector<std::int64_t>;
  BOOST_TEST(!versions({}).has_value());
  BOOST_TEST((versions({{"If-Match", "\"4\""}})->one_of == numbers{4}));
  BOOST_TEST((versions({{"if-match", "\"4\", \"0\""}, {"If-Match", "\"7\""}})->one_of
              == numbers{4, 0, 7}));
  BOOST_TEST(versions({{"If-Match", "*"}})->any);
  // A weak tag never matches, and what we never gave out does not either.
  for (const auto* other : {"W/\"4\"", "\"x\"", "\"04\"", "\"\"", "\"99999999999999999999\""}) {
    const auto none = versions({{"If-Match", other}});
    BOOST_TEST((none && !none->any && none->one_of.empty()), other);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_list_of_tags_is_refused_and_changes_nothing) {
  for (const auto* wrong :
       {"", "4", "\"4", "\"4\" \"5\"", "*, \"4\"", "w/\"4\"", "**", "\"a b\"", ","}) {
    BOOST_TEST(
        call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})", {{"If-Match", wrong}})
                .status
            == 400,
        wrong);
    BOOST_TEST(call(method::get, "/api/v1/queues/mail", {}, {{"If-None-Match", wrong}}).status
                   == 400,
               wrong);
  }
  // Nobody may take it for a condition that was looked at.
  for (const auto* tags : {"*", "\"4\""})
    BOOST_TEST(call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})",
                    {{"If-None-Match", tags}})
                       .status
                   == 400,
               tags);
  BOOST_TEST(engine->asked().empty());
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::stale, "it has been changed"});
  });
  const auto late =
      call(method::patch, "/api/v1/queues/mail", R"({"concurrency":7})", {{"If-Match", "\"4\""}});
  BOOST_TEST(late.status == 412);
  BOOST_TEST(late.fault->code == "stale");
}

BOOST_AUTO_TEST_SUITE_END()
