// What operators ask of a node, without a socket: settings, connections, the doctor.
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

struct admin_routes {
  admin_routes() {
    context.ask = engine;
    add_admin_routes(table, context);
  }
  response call(std::string_view target) {
    return tests::routed_call(table, method::get, target, {});
  }
  json told(std::string_view target) {
    const auto answer = call(target);
    BOOST_TEST(answer.status == 200);
    return json::parse(answer.body);
  }
  void answer(api_reply reply) { engine->always(std::move(reply)); }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  database_metrics database;
  engine_counters counters;
  services context;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(for_operators, admin_routes)

BOOST_AUTO_TEST_CASE(settings_are_told_as_they_were_given_and_none_are_an_empty_list) {
  BOOST_TEST(told("/api/v1/config") == json::parse(R"({"settings":[]})"));
  context.configuration = R"({"settings":[{"name":"slots"}]})";
  BOOST_TEST(call("/api/v1/config").body == context.configuration);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(connections_are_counted_by_what_they_do) {
  context.database = &database;
  context.counters = &counters;
  context.pool = {2, 4, 4096, 3s, 10s, 1min, 30min};
  counters.pool_waiting = 7;
  counters.pool_refused = 1;
  database.acquire.record(20ms);
  database.acquire.record(10ms);
  for (const std::size_t number : {0U, 2U, 3U}) {
    auto& slot = database.slot(number);
    slot.holder = number + 1;
    slot.backend_pid = 100;
    slot.up_since = std::chrono::steady_clock::now();
  }
  database.slot(1).statements = 5; // nobody's now
  database.slot(2).in_flight = 3;
  database.slot(3).lent = true;
  const auto now = told("/api/v1/pool");
  const auto is = [&](const char* name, int value) { BOOST_TEST(now.at(name) == value, name); };
  is("open", 3);
  is("idle", 1);
  is("busy", 2);
  is("lent", 1);
  is("in_flight", 3);
  is("waiting", 7);
  BOOST_TEST(now["bounds"] == json::parse(R"({"min_connections":2,"max_connections":4,
    "max_waiting":4096,"acquire_timeout_ms":3000,"statement_timeout_ms":10000,
    "idle_limit_ms":60000,"max_lifetime_ms":1800000})"));
  BOOST_TEST(now["since_start"]["acquired"] == 2);
  BOOST_TEST(now["since_start"]["waited_ms"] == 30);
  BOOST_TEST(now["since_start"]["refused"] == 1);
  BOOST_REQUIRE(now["connections"].size() == 3U);
  BOOST_TEST(now["connections"][1]["slot"] == 2);
  BOOST_TEST(now["connections"][2]["lent"] == true);
}

BOOST_AUTO_TEST_CASE(what_the_doctor_finds_is_an_answer_whatever_it_is) {
  answer(doctor_report{"PostgreSQL \"15\"",
                       {{"schema", health_status::ok, "version 1", ""},
                        {"rights", health_status::failing, "none", "grant them"}}});
  BOOST_TEST(told("/api/v1/doctor") == json::parse(R"({"status":"failing",
    "server":"PostgreSQL \"15\"","checks":[
      {"name":"schema","status":"ok","found":"version 1","advice":null},
      {"name":"rights","status":"failing","found":"none","advice":"grant them"}]})"));
  answer(failure{errc::unavailable, "no connection"});
  BOOST_TEST(call("/api/v1/doctor").status == 503);
}

BOOST_AUTO_TEST_SUITE_END()
