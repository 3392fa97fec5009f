// A real server against slow, dead, greedy and too many clients, a silent engine, and its own end.
#include "tests/http/running_server.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

/// A client by TLS cannot: its handshake waits for the server. See tls_test.cpp.
boost::test_tools::assertion_result sends_before_it_is_accepted(boost::unit_test::test_unit_id) {
  return !over_tls();
}

} // namespace

BOOST_AUTO_TEST_SUITE(deadlines)

BOOST_AUTO_TEST_CASE(a_slow_head_is_cut_off_although_bytes_keep_coming) {
  server_limits limits;
  limits.head = 200ms;
  limits.sweep = 10ms;
  limits.head_fields = 2'000; // the time is what ends it
  running_server server{limits};
  int lines = 0; // an inactivity timer would begin anew with each
  int status = 0;
  // Who is kept from the CPU for all of that time has sent no line by then, or nothing at all: then
  // it is tried once more.
  BOOST_TEST(await_until([&] {
    raw_client client{server.port()};
    client.send("GET /livez HTTP/1.1\r\n");
    for (lines = 0; !client.readable(5ms) && client.send("X: y\r\n");)
      ++lines;
    status = client.receive().status;
    return lines > 0 && status != 0;
  }));
  BOOST_TEST(status == 408);
  BOOST_TEST(server.await_connections(0));
}

BOOST_AUTO_TEST_CASE(silent_and_idle_connections_are_closed_without_a_word) {
  server_limits limits;
  limits.sweep = 10ms;
  auto for_silent = limits;
  for_silent.head = 50ms;
  running_server hasty{for_silent};
  raw_client silent{hasty.port()};
  BOOST_TEST(silent.ended());
  limits.idle = 50ms; // and the usual time for a request
  running_server server{limits};
  raw_client idle{server.port()};
  BOOST_TEST(idle.ask(get("/livez")).status == 200);
  BOOST_TEST(idle.ended());
}

BOOST_AUTO_TEST_CASE(a_body_slower_than_the_least_rate_is_cut_off) {
  server_limits limits;
  limits.body_grace = 50ms;
  limits.sweep = 10ms;
  running_server server{limits};
  raw_client client{server.port()};
  const auto text = post("/api/v1/jobs", R"({"kind":"echo"})");
  BOOST_TEST(client.ask(text.substr(0, text.size() - 1)).status == 408);
  BOOST_TEST(client.ended());
  BOOST_TEST(server.engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(an_engine_that_never_answers_costs_the_client_504_not_forever) {
  server_limits limits;
  limits.answer = 50ms;
  limits.sweep = 10ms;
  running_server server{limits};
  slow_engine engine{*server.engine};
  raw_client client{server.port()};
  BOOST_TEST(client.ask(create).status == 504);
  BOOST_TEST(client.ended());
  engine.release(); // too late: nobody may notice
  BOOST_TEST(raw_client{server.port()}.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_client_that_does_not_read_is_dropped) {
  server_limits limits;
  limits.write = 100ms;
  limits.sweep = 10ms;
  running_server server{limits};
  server.engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    auto job = canned_engine::job({17});
    job.args = '"' + std::string(32 * 1024 * 1024, 'x') + '"';
    reply(job);
  });
  raw_client client{server.port()};
  client.send(get("/api/v1/jobs/17"));
  BOOST_TEST(await_until([&] { return !server.engine->asked().empty(); }));
  BOOST_TEST(server.await_connections(0));
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(connections)

BOOST_AUTO_TEST_CASE(at_the_limit_new_connections_wait_until_one_closes,
                     *boost::unit_test::precondition(sends_before_it_is_accepted)) {
  server_limits limits;
  limits.connections = 2;
  running_server server{limits};
  std::optional<raw_client> first{server.port()};
  raw_client second{server.port()};
  BOOST_TEST(first->ask(get("/livez")).status == 200);
  BOOST_TEST(second.ask(get("/livez")).status == 200);
  raw_client third{server.port()}; // in the kernel's backlog
  third.send(get("/livez"));
  BOOST_TEST(second.ask(get("/livez")).status == 200);
  BOOST_TEST(server.counters.http_connections == 2U);
  first.reset();
  BOOST_TEST(third.receive().status == 200);
}

BOOST_AUTO_TEST_CASE(unfinished_heads_are_bounded_and_finished_ones_make_room,
                     *boost::unit_test::precondition(sends_before_it_is_accepted)) {
  server_limits limits;
  limits.heads_incomplete = 1;
  running_server server{limits};
  raw_client first{server.port()};
  BOOST_TEST(server.await_connections(1));
  raw_client second{server.port()};
  second.send(get("/livez"));
  BOOST_TEST(first.ask(get("/livez")).status == 200);
  BOOST_TEST(second.receive().status == 200);
}

BOOST_AUTO_TEST_CASE(one_address_gets_its_share_only) {
  server_limits limits;
  limits.connections_per_address = 1;
  running_server server{limits};
  raw_client first{server.port()};
  BOOST_TEST(first.ask(get("/livez")).status == 200);
  BOOST_TEST(raw_client{server.port()}.ended());
  BOOST_TEST(first.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(the_last_request_of_a_connection_says_so) {
  server_limits limits;
  limits.requests_per_connection = 2;
  running_server server{limits};
  raw_client client{server.port()};
  BOOST_TEST(client.ask(get("/livez")).header("Connection").empty());
  BOOST_TEST(client.ask(get("/livez")).header("Connection") == "close");
  BOOST_TEST(client.ended());
}

BOOST_AUTO_TEST_CASE(a_reset_in_a_request_or_while_the_engine_works_harms_nobody) {
  running_server server;
  slow_engine engine{*server.engine};
  {
    raw_client in_head{server.port()};
    in_head.send("GET /livez HT");
    raw_client in_body{server.port()};
    in_body.send(create.substr(0, create.size() - 3));
    BOOST_TEST(server.await_connections(2));
    in_head.reset();
    in_body.reset();
  }
  BOOST_TEST(server.await_connections(0));
  raw_client waiting{server.port()};
  waiting.send(create);
  BOOST_REQUIRE(engine.asked.await(1));
  waiting.reset();
  engine.release();
  BOOST_TEST(server.await_connections(0));
  BOOST_TEST(raw_client{server.port()}.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_client_that_only_stops_sending_still_gets_its_answer) {
  running_server server;
  raw_client client{server.port()};
  client.send(create);
  client.finish_sending();
  BOOST_TEST(client.receive().status == 201);
  BOOST_TEST(client.ended());
}

BOOST_AUTO_TEST_CASE(a_dropped_question_is_answered_503) {
  running_server server;
  slow_engine engine{*server.engine};
  raw_client client{server.port()};
  client.send(create);
  BOOST_REQUIRE(engine.asked.await(1));
  engine.drop();
  const auto answer = client.receive();
  BOOST_TEST(answer.status == 503);
  BOOST_TEST(answer.header("Retry-After") == "1");
  BOOST_TEST(answer.body.find(R"("code":"stopping")") != std::string::npos);
  client.send(create);
  BOOST_REQUIRE(engine.asked.await(2));
  engine.release();
  BOOST_TEST(client.receive().status == 201);
}

BOOST_AUTO_TEST_CASE(a_taken_address_is_said_in_words) {
  running_server server;
  boost::asio::io_context loop;
  server_options options;
  options.port = server.port();
  http::server second{loop, options, services{}};
  BOOST_CHECK_EXCEPTION(second.start(), std::runtime_error, [](const std::exception& e) {
    return std::string_view{e.what()}.find("the address is taken") != std::string_view::npos;
  });
  options.address = "not an address";
  http::server third{loop, options, services{}};
  BOOST_CHECK_THROW(third.start(), std::runtime_error);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(stopping)

BOOST_AUTO_TEST_CASE(stop_closes_idle_connections_and_lets_busy_ones_finish) {
  running_server server;
  slow_engine engine{*server.engine};
  raw_client idle{server.port()};
  BOOST_TEST(idle.ask(get("/livez")).status == 200);
  raw_client busy{server.port()};
  busy.send(create);
  BOOST_REQUIRE(engine.asked.await(1));
  auto stopped = server.begin_stop(60s);
  BOOST_TEST(idle.ended());
  BOOST_TEST((stopped.wait_for(0s) == std::future_status::timeout));
  engine.release();
  const auto answer = busy.receive();
  BOOST_TEST(answer.status == 201);
  BOOST_TEST(answer.header("Connection") == "close");
  busy.close();
  BOOST_TEST((stopped.wait_for(patience) == std::future_status::ready));
}

BOOST_AUTO_TEST_CASE(stop_does_not_wait_longer_than_its_grace) {
  running_server server;
  slow_engine engine{*server.engine};
  raw_client busy{server.port()};
  busy.send(create);
  BOOST_REQUIRE(engine.asked.await(1));
  auto stopped = server.begin_stop(10ms);
  BOOST_TEST((stopped.wait_for(patience) == std::future_status::ready));
  BOOST_TEST(busy.ended());
  engine.drop();
}

BOOST_AUTO_TEST_CASE(a_caller_who_asks_too_often_is_told_when_to_come_again) {
  http::server_limits limits;
  limits.caller_burst = 3;
  limits.caller_each = 1h;
  running_server server{limits};
  raw_client client{server.port()};
  for (const std::string left : {"2", "1", "0"}) {
    const auto answer = client.ask(get("/api/v1/jobs/7"));
    BOOST_TEST(answer.status == 200);
    BOOST_TEST(answer.header("RateLimit-Policy") == R"("caller";q=3;w=10800)");
    BOOST_TEST(answer.header("RateLimit").starts_with(R"("caller";r=)" + left + ";t="));
  }
  const auto asked = server.engine->asked().size();
  for (const auto& request : {get("/api/v1/jobs/7"), post("/api/v1/jobs/7/cancel", "{}")}) {
    const auto refused =
        raw_client{server.port()}.ask(request); // a new connection is no new caller
    BOOST_TEST(refused.status == 429);
    BOOST_TEST(refused.body.find(R"("code":"rate_exceeded")") != std::string::npos, refused.body);
    BOOST_TEST(std::stoi(std::string{refused.header("Retry-After")}) > 3500);
    BOOST_TEST(refused.header("RateLimit").starts_with(R"("caller";r=0;t=)"));
  }
  BOOST_TEST(server.engine->asked().size() == asked);
  const auto alive = client.ask(get("/livez"));
  BOOST_TEST(alive.status == 200);
  BOOST_TEST(alive.header("RateLimit") == "");
}

BOOST_AUTO_TEST_CASE(callers_are_not_counted_unless_that_is_asked_for) {
  running_server server;
  BOOST_TEST(raw_client{server.port()}.ask(get("/api/v1/jobs/7")).header("RateLimit") == "");
}

BOOST_AUTO_TEST_CASE(a_draining_server_answers_reads_on_new_connections_and_refuses_changes) {
  running_server server;
  raw_client open{server.port()};
  BOOST_TEST(open.ask(get("/livez")).status == 200);
  server.draining = true;
  const auto ask = [&](const std::string& request) {
    raw_client fresh{server.port()};
    auto answer = fresh.ask(request);
    BOOST_TEST(answer.header("Connection") == "close");
    return answer;
  };
  BOOST_TEST(ask(get("/livez")).status == 200);
  const auto ready = ask(get("/readyz"));
  BOOST_TEST(ready.status == 503);
  BOOST_TEST(ready.body.starts_with("draining"), ready.body);
  BOOST_TEST(ask(get("/api/v1/jobs/7")).status == 200);
  const auto asked = server.engine->asked().size();
  for (const auto& change : {create, create_chunked, post("/api/v1/jobs/7/cancel", "{}"),
                             post("/api/v1/work/join", "{}"), post("/api/v1/work/claim", "{}"),
                             "DELETE /api/v1/jobs/7 HTTP/1.1\r\n" + host + "\r\n"}) {
    const auto refused = ask(change);
    BOOST_TEST(refused.status == 503, change);
    BOOST_TEST(refused.header("Retry-After") == "1");
    BOOST_TEST(refused.body.find(R"("code":"stopping")") != std::string::npos, refused.body);
  }
  BOOST_TEST(open.ask(create).status == 503);
  BOOST_TEST(server.engine->asked().size() == asked);
  // What was handed out before can go on and end.
  for (const std::string way : {"heartbeat", "report", "finish", "leave"})
    BOOST_TEST(ask(post("/api/v1/work/" + way, "{}")).status == 400, way);
}

BOOST_AUTO_TEST_SUITE_END()
