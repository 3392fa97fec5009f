// /api/v1/nodes without a socket: what is asked of the engine, and how its answers are written.
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

struct node_routes {
  node_routes() {
    context.ask = engine;
    add_node_routes(table, context, limits);
    node.id = node_id{7};
    node.name = "n1";
    node.started_at = timestamp{std::chrono::seconds{1'700'000'000}};
    engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<list_nodes>(asked))
        return reply(node_page{{node, node}, node_id{6}});
      reply(node);
    });
  }

  response call(std::string_view target) {
    return tests::routed_call(table, method::get, target, {});
  }
  response post(std::string_view target, std::string_view body = {}) {
    request_view request;
    request.body = body;
    return tests::routed_call(table, method::post, target, request);
  }
  template<class Question>
  Question asked() {
    BOOST_REQUIRE(!engine->asked().empty());
    return std::get<Question>(engine->asked().back());
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  services context;
  server_limits limits;
  router table;
  node_record node;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(about_nodes, node_routes)

BOOST_AUTO_TEST_CASE(a_node_is_shown_with_all_it_has_told) {
  node.version = "1.2";
  node.heartbeat_at = node.started_at;
  node.slots = 4;
  node.kinds = {"echo", "a"};
  node.queues = {{"mail", 2, 1}, {"other", 4, 3}};
  BOOST_TEST(json::parse(call("/api/v1/nodes/n1").body) == json::parse(R"({"id":"7","name":"n1",
    "state":"alive","version":"1.2","started_at":"2023-11-14T22:13:20Z",
    "heartbeat_at":"2023-11-14T22:13:20Z","ended_at":null,"running":4,"slots":4,
    "queues":[{"queue":"mail","slots":2,"running":1},{"queue":"other","slots":4,"running":3}],
    "kinds":["echo","a"]})"));
  BOOST_TEST(asked<get_node>().name == "n1");
}

BOOST_AUTO_TEST_CASE(what_a_node_did_not_tell_is_null) {
  node.state = node_state::left;
  node.ended_at = node.started_at;
  node.queues = {{"mail", std::nullopt, 1}};
  const auto shown = json::parse(call("/api/v1/nodes/n1").body);
  BOOST_TEST(shown["state"] == "left");
  for (const auto* field : {"version", "heartbeat_at", "slots", "kinds"})
    BOOST_TEST(shown[field].is_null(), field);
  BOOST_TEST(shown["queues"] == json::parse(R"([{"queue":"mail","slots":null,"running":1}])"));
  node.queues.clear();
  node.kinds.emplace();
  const auto empty = json::parse(call("/api/v1/nodes/n1").body);
  BOOST_TEST(empty["queues"].empty());
  BOOST_TEST((empty["kinds"].is_array() && empty["kinds"].empty()));
}

BOOST_AUTO_TEST_CASE(a_list_is_asked_for_by_state_and_says_where_the_next_page_begins) {
  const auto page = json::parse(call("/api/v1/nodes?state=dead&limit=2&before=9").body);
  BOOST_TEST(page["nodes"].size() == 2U);
  BOOST_TEST(page["next"] == "6");
  BOOST_TEST((asked<list_nodes>().state == node_state::dead));
  BOOST_TEST(asked<list_nodes>().limit == 2);
  BOOST_TEST(asked<list_nodes>().before.value == 9);
  call("/api/v1/nodes");
  BOOST_TEST(!asked<list_nodes>().state.has_value());
  BOOST_TEST(asked<list_nodes>().before.value == 0);
}

BOOST_AUTO_TEST_CASE(a_node_is_drained_and_resumed_and_shown_as_it_is_then) {
  node.state = node_state::draining;
  BOOST_TEST(json::parse(post("/api/v1/nodes/n1/drain", "{}").body)["state"] == "draining");
  BOOST_TEST(asked<drain_node>().name == "n1");
  BOOST_TEST(asked<drain_node>().drain);
  BOOST_TEST(asked<drain_node>().by.who == "anyone");
  BOOST_TEST(post("/api/v1/nodes/n1/resume").status == 200);
  BOOST_TEST(!asked<drain_node>().drain);
  const auto before = engine->asked().size();
  BOOST_TEST(post("/api/v1/nodes/n1/drain", R"({"a":1})").status == 400);
  BOOST_TEST(post("/api/v1/nodes/a%20b/drain").status == 404);
  BOOST_TEST(engine->asked().size() == before);
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::conflict, "node n1 has ended"});
  });
  BOOST_TEST(post("/api/v1/nodes/n1/drain").status == 409);
}

BOOST_AUTO_TEST_CASE(what_is_no_node_or_no_page_is_refused_without_a_question) {
  BOOST_TEST(call("/api/v1/nodes/a%20b").status == 404);
  for (const auto* wrong : {"limit=0", "limit=501", "before=x", "before=0", "state=Alive", "state",
                            "after=1", "limit=1&limit=2"})
    BOOST_TEST(call(std::string{"/api/v1/nodes?"} + wrong).status == 400, wrong);
  BOOST_TEST(engine->asked().empty());
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::not_found, "there is no node n2"});
  });
  BOOST_TEST(call("/api/v1/nodes/n2").status == 404);
}

BOOST_AUTO_TEST_SUITE_END()
