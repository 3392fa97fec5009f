// /api/v1/events over sockets: what goes out, what is refused, and how a stream ends. What is told
// is in event_board_test.
#include "tests/http/event_desk.hpp"
#include "tests/http/running_server.hpp"

#include <algorithm>
#include <mutex>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

server_limits quick(std::size_t streams = 1'024) {
  server_limits out;
  out.sweep = 10ms;
  out.write = 300ms;
  out.event_streams = streams;
  return out;
}

/// A server over an engine of jobs and queues; each question is answered at once.
struct event_server {
  explicit event_server(const server_limits& limits = quick()) : server(limits) {
    change([](event_engine& of) { of.set(17, job_state::running); });
    server.engine->on_ask([this](api_request asked, canned_engine::reply_function reply) {
      const std::lock_guard lock{guard};
      engine.ask(std::move(asked), std::move(reply));
    });
  }
  template<class Change>
  void change(Change how) {
    const std::lock_guard lock{guard};
    how(engine);
  }

  std::mutex guard;
  event_engine engine;
  running_server server;
};

/// Whoever reads is not cut off for having been kept from it for a moment.
struct patient_server : event_server {
  patient_server() : event_server(limits()) {}
  static server_limits limits() {
    auto out = quick();
    out.write = 5s;
    return out;
  }
};

const std::string target = "/api/v1/events?job=17";

/// Reads chunks until the text holds this.
std::string until_there(raw_client& client, const std::string& what) {
  std::string text;
  for (std::size_t from = 0; text.find(what, from) == std::string::npos;) {
    from = text.size() - std::min(text.size(), what.size());
    const auto some = client.receive_chunk();
    if (!some || some->empty())
      return text + "(ended)";
    text += *some;
  }
  return text;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(event_routes, event_server)

BOOST_AUTO_TEST_CASE(events_go_out_as_they_come_and_the_connection_goes_on) {
  raw_client client{server.port()};
  const auto head = client.ask(get(target, "Accept-Encoding: gzip\r\n"));
  BOOST_TEST(head.status == 200);
  BOOST_TEST(head.header("Content-Type") == "text/event-stream");
  BOOST_TEST(head.header("Cache-Control") == "no-store");
  BOOST_TEST(head.header("Content-Encoding") == "");
  BOOST_TEST(head.header("Transfer-Encoding") == "chunked");
  BOOST_TEST(until_there(client, "event: job").starts_with("retry: 2000\n\n"));
  change([](event_engine& of) { of.say(17, "heard at once"); });
  BOOST_TEST(until_there(client, "heard at once").find("event: log") != std::string::npos);
  change([](event_engine& of) { of.set(17, job_state::completed); });
  const auto last = client.receive_chunks();
  BOOST_REQUIRE(last.has_value());
  const auto events = read_events(*last);
  BOOST_TEST(events.back().name == "done");
  // With that id there is nothing more, and EventSource gives up.
  BOOST_TEST(client.ask(get(target, "Last-Event-ID: " + events.back().id + "\r\n")).status == 204);
  BOOST_TEST(client.ask(get("/livez")).body == "ok\n");
}

BOOST_AUTO_TEST_CASE(a_client_of_http_1_0_is_told_by_the_end_of_the_connection) {
  change([](event_engine& of) { of.set(17, job_state::cancelled); });
  raw_client client{server.port()};
  const auto head = client.ask("GET " + target + " HTTP/1.0\r\n" + host + "\r\n");
  BOOST_TEST(head.status == 200);
  BOOST_TEST(head.header("Transfer-Encoding") == "");
  const auto text = client.receive_to_end();
  BOOST_REQUIRE(text.has_value());
  BOOST_TEST(read_events(*text).back().name == "done");
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_question_is_said) {
  const auto status = [&](const std::string& query, const std::string& fields = {}) {
    return raw_client{server.port()}.ask(get("/api/v1/events" + query, fields)).status;
  };
  std::string many = "?job=1";
  for (int i = 2; i <= 101; ++i)
    many += ',' + std::to_string(i);
  for (const auto& query :
       {std::string{"?job="}, std::string{"?job=0"}, std::string{"?job=17,"},
        std::string{"?job=17,x"}, std::string{"?job=17&job=18"}, many, std::string{"?queue="},
        std::string{"?queue=a%20b"}, std::string{"?queue=a&job=17"}, std::string{"?state=running"}})
    BOOST_TEST(status(query) == 400, query);
  BOOST_TEST(status("?job=18") == 404);
  BOOST_TEST(status("?job=17", "Last-Event-ID: forged\r\n") == 400);
  event_position told;
  told.jobs.resize(1);
  const auto of_18 = make_event_id(told, of_jobs({18}));
  BOOST_TEST(status("?job=17", "Last-Event-ID: " + of_18 + "\r\n") == 400);
  const auto head =
      raw_client{server.port()}.ask("HEAD " + target + " HTTP/1.1\r\n" + host + "\r\n", true);
  BOOST_TEST(head.status == 200);
  BOOST_TEST(head.header("Content-Type") == "text/event-stream");
}

BOOST_AUTO_TEST_CASE(a_stopping_server_ends_its_streams_cleanly) {
  raw_client client{server.port()};
  client.send(get(target));
  BOOST_TEST(client.receive().status == 200);
  until_there(client, "event: job");
  auto stopped = server.begin_stop(60s);
  BOOST_TEST(client.receive_chunks().value_or("cut off")
             == ": this node is stopping: ask another one\n\n");
  stopped.wait();
}

BOOST_AUTO_TEST_CASE(a_draining_node_ends_its_streams_and_begins_none) {
  raw_client client{server.port()};
  client.send(get(target));
  client.receive();
  until_there(client, "event: job");
  server.draining = true;
  BOOST_TEST(client.receive_chunks().has_value());
  const auto refused = raw_client{server.port()}.ask(get(target));
  BOOST_TEST(refused.status == 503);
  BOOST_TEST(refused.header("Retry-After") != "");
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_is_noticed) {
  {
    raw_client client{server.port()};
    client.send(get(target));
    client.receive();
    BOOST_TEST(server.await_connections(1));
    BOOST_TEST(
        raw_client{server.port()}.ask(get("/metrics")).body.find("\ntroupe_http_event_streams 1\n")
        != std::string::npos);
  }
  BOOST_TEST(server.await_connections(0));
  BOOST_TEST(
      raw_client{server.port()}.ask(get("/metrics")).body.find("\ntroupe_http_event_streams 0\n")
      != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(one_that_never_reads_is_closed_and_costs_the_others_nothing,
                        patient_server) {
  raw_client deaf{server.port()};
  deaf.send(get(target));
  raw_client other{server.port()};
  other.send(get(target));
  BOOST_TEST(other.receive().status == 200);
  until_there(other, "event: job");
  BOOST_TEST(server.await_connections(2));
  // More than the sockets hold.
  change([](event_engine& of) {
    for (int i = 0; i < 6'000; ++i)
      of.say(17, std::string(8'000, 'x'));
    of.say(17, "the last");
  });
  BOOST_TEST(until_there(other, "\"the last\"").find("(ended)") == std::string::npos);
  BOOST_TEST(server.await_connections(1));
}

BOOST_AUTO_TEST_CASE(five_hundred_streams_hear_of_a_change) {
  std::vector<std::unique_ptr<raw_client>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(std::make_unique<raw_client>(server.port()));
    clients.back()->send(get(target));
  }
  std::size_t begun = 0;
  for (const auto& one : clients)
    begun += one->receive().status == 200 ? 1 : 0;
  BOOST_TEST(begun == 500U);
  change([](event_engine& of) { of.say(17, "to all"); });
  std::size_t heard = 0;
  for (const auto& one : clients)
    heard += until_there(*one, "to all").find("(ended)") == std::string::npos ? 1 : 0;
  BOOST_TEST(heard == 500U);
  change([this](event_engine& of) {
    BOOST_TEST(of.count<get_log>() < 50U); // 500 streams share it
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(beyond_the_streams_of_a_node_there_is_503) {
  event_server at{quick(1)};
  raw_client first{at.server.port()};
  first.send(get(target));
  BOOST_TEST(first.receive().status == 200);
  const auto refused = raw_client{at.server.port()}.ask(get(target));
  BOOST_TEST(refused.status == 503);
  BOOST_TEST(refused.header("Retry-After") == "1");
}
