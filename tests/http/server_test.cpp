// A real server on a free loopback port against raw sockets: requests, answers, framing.
#include "tests/http/running_server.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

BOOST_AUTO_TEST_SUITE(requests)

BOOST_AUTO_TEST_CASE(one_connection_serves_many_requests) {
  running_server server;
  raw_client client{server.port()};
  const auto first = client.ask(create);
  BOOST_TEST(first.status == 201);
  BOOST_TEST(first.header("Location") == "/api/v1/jobs/17");
  BOOST_TEST(first.header("Content-Type") == "application/json");
  BOOST_TEST(first.header("Cache-Control") == "no-store");
  BOOST_TEST(first.header("Server") == "troupe");
  BOOST_TEST(first.header("Date").ends_with(" GMT"));
  BOOST_TEST(client.ask(get("/api/v1/jobs/17")).status == 200);
  BOOST_TEST(client.ask(get("/livez")).body == "ok\n");
  BOOST_TEST(client.ask("DELETE /api/v1/jobs/17 HTTP/1.1\r\n" + host + "\r\n").status == 204);
  BOOST_TEST(client.ask("POST /api/v1/jobs/17/cancel HTTP/1.1\r\n" + host + "\r\n").status == 200);
  BOOST_TEST(server.counters.http_requests == 5U);
}

namespace {

const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-";
const std::string traced = "traceparent: " + trace + "00f067aa0ba902b7-01\r\n";

} // namespace

BOOST_AUTO_TEST_CASE(a_trace_is_carried_on_with_a_span_of_our_own_for_each_request) {
  running_server server;
  raw_client client{server.port()};
  const auto first = client.ask(get("/livez", traced)).header("traceresponse");
  const auto second = client.ask(get("/livez", traced)).header("traceresponse");
  for (const auto& told : {first, second}) {
    BOOST_TEST(told.starts_with(trace));
    BOOST_TEST(told.ends_with("-01"));
    BOOST_TEST(told.find("00f067aa0ba902b7") == std::string::npos);
  }
  BOOST_TEST(first != second);
  BOOST_TEST(client.ask(get("/livez")).header("traceresponse") == "");
  BOOST_TEST(client.ask(get("/livez", "Traceparent: 00-1-2-3\r\n")).header("traceresponse") == "");
  BOOST_TEST(client.ask(get("/livez", traced + traced)).header("traceresponse") == "");
  BOOST_TEST(client.ask(get("/nowhere", traced)).header("traceresponse").starts_with(trace));
}

namespace {

struct kept_spans : span_sink {
  explicit kept_spans(double sample_ratio = 1) : span_sink(sample_ratio) {}
  std::size_t room() const override { return 1; }
  void lose(std::size_t) override {}
  void add(std::vector<span> ended) override {
    for (auto& one : ended) {
      const std::lock_guard lock(guard);
      all.push_back(std::move(one));
      arrived.add();
    }
  }
  std::vector<span> first(int count) {
    BOOST_REQUIRE(arrived.await(count));
    const std::lock_guard lock(guard);
    return all;
  }
  std::mutex guard;
  std::vector<span> all;
  event_counter arrived;
};

std::string to_text(const span& of) {
  std::string out = of.name;
  for (const auto& [name, value] : of.attributes) {
    out += " " + std::string{name} + "=";
    out += std::holds_alternative<std::string>(value)
               ? std::get<std::string>(value)
               : std::to_string(std::get<std::int64_t>(value));
  }
  return out + (of.failed ? " failed" : "");
}

} // namespace

BOOST_AUTO_TEST_CASE(each_request_of_a_sampled_trace_is_a_span_where_spans_are_wanted) {
  kept_spans spans;
  running_server server{spans};
  raw_client client{server.port()};
  const std::string unsampled = "traceparent: " + trace + "00f067aa0ba902b7-00\r\n";
  BOOST_TEST(client.ask(get("/", unsampled)).header("traceresponse").starts_with(trace));
  const auto told = client.ask(get("/api/v1/jobs/17", traced)).header("traceresponse");
  const auto nowhere = client.ask(get("/nowhere", traced)).header("traceresponse");
  const auto begun = client.ask(get("/")).header("traceresponse");
  const auto twice = client.ask(get("/", traced + traced)).header("traceresponse");
  const auto all = spans.first(4);
  BOOST_REQUIRE(all.size() == 4U);
  const std::vector<std::string> answers{told, nowhere, begun, twice};
  for (std::size_t i = 0; i < all.size(); ++i) {
    BOOST_TEST(to_traceparent(all[i].self) == answers[i]);
    BOOST_TEST((all[i].kind == span_kind::server));
    BOOST_TEST((all[i].start <= all[i].end));
    BOOST_TEST(all[i].parent == (i < 2 ? "00f067aa0ba902b7" : ""));
    BOOST_TEST(parse_traceparent(answers[i]).has_value());
  }
  const std::string scheme = over_tls() ? "https" : "http";
  BOOST_TEST(to_text(all[0])
             == "GET /api/v1/jobs/{id} http.request.method=GET url.scheme=" + scheme
                    + " http.route=/api/v1/jobs/{id} http.response.status_code=200");
  BOOST_TEST(to_text(all[1])
             == "GET http.request.method=GET url.scheme=" + scheme
                    + " http.response.status_code=404");
  BOOST_TEST(!begun.starts_with(trace));
  BOOST_TEST(begun.ends_with("-03")); // sampled, and the trace id is random
  BOOST_TEST(!twice.starts_with(trace));
}

BOOST_AUTO_TEST_CASE(probes_metrics_and_heartbeats_are_no_spans) {
  kept_spans spans;
  running_server server{spans};
  server.engine->on_ask(
      [](const api_request&, const canned_engine::reply_function& reply) { reply(work_pulse{}); });
  raw_client client{server.port()};
  const auto beat =
      post("/api/v1/work/heartbeat", R"({"session":"17.)" + std::string(30, 'a') + R"("})");
  for (const auto& path : {"/livez", "/readyz", "/healthz", "/metrics"}) {
    BOOST_TEST(client.ask(get(path)).header("traceresponse") == "", path);
    BOOST_TEST(client.ask(get(path, traced)).header("traceresponse").starts_with(trace), path);
  }
  BOOST_TEST(client.ask(beat).header("traceresponse") == "");
  client.ask(get("/"));
  BOOST_TEST(spans.first(1).at(0).name == "GET /");
}

BOOST_AUTO_TEST_CASE(traces_of_requests_begin_as_the_ratio_says) {
  for (const double ratio : {0.0, 1e-300}) {
    kept_spans spans{ratio};
    running_server server{spans};
    raw_client client{server.port()};
    const auto begun = parse_traceparent(client.ask(get("/")).header("traceresponse"));
    BOOST_TEST(begun.has_value() == (ratio > 0)); // one that is not sampled is told, too
    BOOST_TEST((!begun || !begun->sampled()));
    client.ask(get("/api/v1/jobs/17", traced));
    BOOST_TEST(spans.first(1).at(0).self.trace_id == trace.substr(3, 32));
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_is_put_in_belongs_to_the_span_of_its_request) {
  running_server server;
  raw_client client{server.port()};
  auto with = create;
  with.insert(with.find("\r\n") + 2, traced);
  const auto answer = client.ask(with);
  BOOST_TEST(answer.status == 201);
  const auto asked = std::get<enqueue_jobs>(server.engine->asked().back());
  BOOST_TEST(asked.jobs.at(0).traceparent == answer.header("traceresponse"));
  BOOST_TEST(answer.body.find("\"traceparent\":\"" + answer.header("traceresponse") + '"')
             != std::string::npos);
  const auto plain = client.ask(create);
  BOOST_TEST(plain.body.find("traceparent") == std::string::npos);
  BOOST_TEST(std::get<enqueue_jobs>(server.engine->asked().back()).jobs.at(0).traceparent == "");
}

BOOST_AUTO_TEST_CASE(what_was_answered_and_what_was_refused_is_in_the_metrics) {
  running_server server;
  raw_client client{server.port()};
  BOOST_TEST(client.ask(get("/livez")).status == 200);
  BOOST_TEST(client.ask(get("/livez")).status == 200);
  BOOST_TEST(client.ask(get("/nowhere")).status == 404);
  BOOST_TEST(client.ask("DELETE /livez HTTP/1.1\r\n" + host + "\r\n").status == 405);
  raw_client rude{server.port()};
  BOOST_TEST(rude.ask("nonsense\r\n\r\n").status == 400);
  const auto text = client.ask(get("/metrics")).body;
  const std::string name = "troupe_http_request_duration_seconds_count";
  for (const auto& line : {name + R"({method="GET",route="/livez",code="200"} 2)",
                           name + R"({method="none",route="none",code="404"} 1)",
                           name + R"({method="none",route="none",code="400"} 1)",
                           std::string{R"(troupe_http_rejected_total{reason="no_route"} 1)"},
                           std::string{R"(troupe_http_rejected_total{reason="wrong_method"} 1)"},
                           std::string{R"(troupe_http_rejected_total{reason="malformed"} 1)"}})
    BOOST_TEST(text.find("\n" + line + "\n") != std::string::npos, line);
}

BOOST_AUTO_TEST_CASE(a_request_id_is_echoed_or_made) {
  running_server server;
  raw_client client{server.port()};
  BOOST_TEST(client.ask(get("/livez", "X-Request-Id: abc-1\r\n")).header("X-Request-Id")
             == "abc-1");
  const auto made = client.ask(get("/livez", "X-Request-Id: a b\r\n")).header("X-Request-Id");
  BOOST_TEST(made.size() > 10U);
  BOOST_TEST(client.ask(get("/livez")).header("X-Request-Id") != made);
}

BOOST_AUTO_TEST_CASE(errors_are_problem_json_with_instance_and_request_id) {
  running_server server;
  raw_client client{server.port()};
  const auto answer = client.ask(get("/nothing?x=1", "X-Request-Id: abc-1\r\n"));
  BOOST_TEST(answer.status == 404);
  BOOST_TEST(answer.header("Content-Type") == "application/problem+json");
  BOOST_TEST(answer.body.find(R"("instance":"/nothing")") != std::string::npos);
  BOOST_TEST(answer.body.find(R"("request_id":"abc-1")") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(head_answers_like_get_without_the_body) {
  running_server server;
  raw_client client{server.port()};
  const auto by_get = client.ask(get("/api/v1/jobs/17"));
  const auto by_head = client.ask("HEAD /api/v1/jobs/17 HTTP/1.1\r\n" + host + "\r\n", true);
  BOOST_TEST(by_head.status == 200);
  BOOST_TEST(by_head.header("Content-Length") == by_get.header("Content-Length"));
  BOOST_TEST(client.ask(get("/livez")).status == 200); // nothing stood between
}

BOOST_AUTO_TEST_CASE(wrong_methods_types_and_hosts_are_told_so) {
  running_server server;
  raw_client client{server.port()};
  const auto put = client.ask("PUT /api/v1/jobs HTTP/1.1\r\n" + host + "\r\n");
  BOOST_TEST(put.status == 405);
  BOOST_TEST(put.header("Allow") == "GET, HEAD, POST, OPTIONS");
  const auto all = client.ask("OPTIONS * HTTP/1.1\r\n" + host + "\r\n");
  BOOST_TEST(all.status == 204);
  BOOST_TEST(all.header("Allow") == "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
  BOOST_TEST(client.ask("OPTIONS /api/v1/jobs/17/why HTTP/1.1\r\n" + host + "\r\n").header("Allow")
             == "GET, HEAD, OPTIONS");
  BOOST_TEST(client.ask("POST /api/v1/jobs HTTP/1.1\r\n" + host + "\r\n").status == 415);
  BOOST_TEST(client.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").status == 403);
  BOOST_TEST(client.ask("TRACE / HTTP/1.1\r\n" + host + "\r\n").status == 405);
  BOOST_TEST(client.ask(get("/livez")).status == 200);
  BOOST_TEST(server.engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(a_hundred_pipelined_requests_are_answered_in_order) {
  running_server server;
  raw_client client{server.port()};
  std::string all;
  for (int i = 0; i < 100; ++i)
    all += i % 2 == 0 ? create
                      : get("/api/v1/jobs/17", "X-Request-Id: r" + std::to_string(i) + "\r\n");
  client.send(all);
  for (int i = 0; i < 100; ++i) {
    const auto answer = client.receive();
    BOOST_REQUIRE(answer.status == (i % 2 == 0 ? 201 : 200));
    if (i % 2 == 1)
      BOOST_REQUIRE(answer.header("X-Request-Id") == "r" + std::to_string(i));
  }
}

BOOST_AUTO_TEST_CASE(pipelined_requests_wait_for_the_answer_before_them) {
  running_server server;
  slow_engine engine{*server.engine};
  raw_client client{server.port()};
  client.send(create + get("/api/v1/jobs/17"));
  BOOST_REQUIRE(engine.asked.await(1));
  BOOST_TEST(server.engine->asked().size() == 1U);
  engine.release();
  BOOST_TEST(client.receive().status == 201);
  BOOST_REQUIRE(engine.asked.await(2));
  engine.release();
  BOOST_TEST(client.receive().status == 200);
}

BOOST_AUTO_TEST_CASE(http_1_0_closes_unless_told_otherwise) {
  running_server server;
  raw_client client{server.port()};
  const std::string ask = "GET /livez HTTP/1.0\r\nHost: localhost\r\n";
  BOOST_TEST(client.ask(ask + "Connection: keep-alive\r\n\r\n").header("Connection")
             == "keep-alive");
  BOOST_TEST(client.ask(ask + "\r\n").header("Connection") == "close");
  BOOST_TEST(client.ended());
}

BOOST_AUTO_TEST_CASE(a_body_is_asked_for_when_the_client_waits_for_it) {
  running_server server;
  raw_client client{server.port()};
  const auto text = post("/api/v1/jobs", R"({"kind":"echo"})", "Expect: 100-continue\r\n");
  const auto head = text.find("\r\n\r\n") + 4;
  BOOST_TEST(client.ask(text.substr(0, head)).status == 100);
  BOOST_TEST(client.ask(text.substr(head)).status == 201);
  BOOST_TEST(client
                 .ask("POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type
                      + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
                 .status
             == 413);
}

BOOST_AUTO_TEST_CASE(large_bodies_and_large_answers_arrive_whole) {
  running_server server;
  server.engine->on_ask([](const api_request& request, const canned_engine::reply_function& reply) {
    auto job = canned_engine::job({17});
    if (const auto* many = std::get_if<enqueue_jobs>(&request))
      job.args = many->jobs.front().args;
    else
      job.args = '"' + std::string(8 * 1024 * 1024, 'x') + '"';
    reply(job);
  });
  raw_client client{server.port()};
  BOOST_TEST(client.ask(get("/api/v1/jobs/17")).body.size() > 8U * 1024 * 1024);
  const std::string args = "\"" + std::string(limits::args_bytes - 2, 'y') + "\"";
  client.ask(post("/api/v1/jobs", R"({"kind":"echo","args":)" + args + "}"));
  BOOST_TEST(std::get<enqueue_jobs>(server.engine->asked().back()).jobs.front().args == args);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(borders)

BOOST_AUTO_TEST_CASE(a_smuggled_request_is_never_served) {
  running_server server;
  const std::string smuggled = get("/api/v1/jobs/99");
  const std::string line = "POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type;
  for (const auto& attack :
       {line + "Transfer-Encoding: gzip\r\n\r\n" + smuggled,
        line + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
        line + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
        line + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + smuggled,
        "GET /livez HTTP/1.1\r\n" + host + "X: y\r\n Content-Length: 100\r\n\r\n" + smuggled,
        "POST /livez HTTP/1.1\r\n" + host + "Content-Length: " + std::to_string(smuggled.size())
            + "\r\n\r\n" + smuggled}) {
    raw_client client{server.port()};
    const auto answer = client.ask(attack);
    BOOST_TEST((answer.status == 400 || answer.status == 405));
    BOOST_TEST(answer.header("Connection") == "close");
    BOOST_TEST(client.ended());
  }
  BOOST_TEST(server.engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(a_chunked_body_may_come_byte_by_byte) {
  running_server server;
  raw_client client{server.port()};
  for (const char c : create_chunked + "5;a=b\r\n{\"kin\r\na\r\nd\":\"echo\"}\r\n0\r\nX: y\r\n\r\n")
    client.send({&c, 1});
  BOOST_TEST(client.receive().status == 201);
  BOOST_TEST(client.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(endless_chunk_extensions_and_trailers_are_bounded) {
  running_server server;
  for (const auto* start : {"5;", "0\r\nX: "}) {
    raw_client client{server.port()};
    client.send(create_chunked + start);
    const std::string more(16 * 1024, 'x');
    for (int i = 0; i < 64 && client.send(more); ++i) {
    }
    BOOST_TEST(client.receive().status == 400);
    BOOST_TEST(client.ended());
  }
}

BOOST_AUTO_TEST_CASE(a_body_too_large_is_refused_unread) {
  running_server server;
  raw_client client{server.port()};
  const auto answer = client.ask("POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type
                                 + "Content-Length: 9223372036854775807\r\n\r\n");
  BOOST_TEST(answer.status == 413);
  BOOST_TEST(answer.header("Connection") == "close");
  client.finish_sending();
  BOOST_TEST(client.ended());
  raw_client other{server.port()};
  BOOST_TEST(other.ask("GET /livez HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nx").status
             == 413);
}

BOOST_AUTO_TEST_CASE(a_client_still_sending_gets_to_read_why_it_was_refused) {
  running_server server;
  raw_client client{server.port()};
  const std::string part(64 * 1024, 'x');
  client.send(create_chunked);
  for (int i = 0; i < 24; ++i) // 1.5 MiB of body where 1 MiB is the limit
    client.send("10000\r\n" + part + "\r\n");
  BOOST_TEST(client.receive().status == 413);
}

BOOST_AUTO_TEST_CASE(heads_and_targets_too_large_are_refused) {
  running_server server;
  raw_client first{server.port()};
  BOOST_TEST(first.ask(get("/livez", "X: " + std::string(20'000, 'x') + "\r\n")).status == 431);
  BOOST_TEST(first.ended());
  raw_client second{server.port()};
  BOOST_TEST(second.ask(get("/" + std::string(9'000, 'x'))).status == 414);
  BOOST_TEST(second.ended());
  BOOST_TEST(server.counters.http_rejected == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
