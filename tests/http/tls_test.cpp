// HTTP by TLS on real sockets: what is spoken, what is refused, how connections end, and the change
// of a certificate under open ones. The suites of server, trouble and peer_stream run by TLS, too.
#include "tests/http/running_server.hpp"
#include "tests/http/scripted_exports.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

const std::string target = "/api/v1/jobs.ndjson";
const std::string closing = "Connection: close\r\n";

/// A server by TLS with a pair of its own, which a test may change.
struct tls_server {
  explicit tls_server(const server_limits& limits = {}, export_port* exports = nullptr)
      : server(exports, options(limits)) {}
  server_options options(const server_limits& limits) {
    take("server");
    auto out = running_server::usual(limits);
    context = std::make_shared<tls_context>(tls_files{file("in-use.crt"), file("in-use.key")});
    out.tls = context;
    return out;
  }
  std::string file(const std::string& name) const { return (dir.path() / name).string(); }
  /// The pair of that name from now on, in files that are other ones.
  void take(const std::string& name) const {
    for (const std::string end : {".crt", ".key"}) {
      const auto made = tests_certificates().file(name + end);
      std::filesystem::copy_file(made, file("next"));
      std::filesystem::rename(file("next"), file("in-use" + end));
    }
  }
  raw_client connect(const tls_wishes& wishes = {}) const {
    return raw_client{server.port(), std::optional{wishes}};
  }
  raw_client connect_plain() const { return raw_client{server.port(), std::nullopt}; }

  temp_dir dir;
  std::shared_ptr<tls_context> context;
  running_server server;
};

/// What they do not shorten keeps the usual time: a handshake and a request may take longer than
/// one would think.
server_limits quickly_swept() {
  server_limits out;
  out.sweep = 10ms;
  return out;
}

} // namespace

BOOST_AUTO_TEST_SUITE(speaking)

BOOST_AUTO_TEST_CASE(tls_1_2_and_1_3_serve_many_requests_on_one_connection) {
  tls_server at;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto client = at.connect({.lowest = version, .highest = version});
    BOOST_TEST(client.ask(create).status == 201);
    BOOST_TEST(client.ask(get("/livez")).body == "ok\n");
    BOOST_TEST(client.tls().protocol() == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
    BOOST_TEST(client.tls().spoken() == "http/1.1");
    if (version == TLS1_2_VERSION)
      BOOST_TEST(client.tls().cipher().starts_with("ECDHE-"), client.tls().cipher());
  }
}

BOOST_AUTO_TEST_CASE(older_versions_and_other_protocols_are_refused_and_none_is_fine) {
  tls_server at;
  auto old = at.connect({.lowest = TLS1_VERSION, .highest = TLS1_1_VERSION});
  BOOST_TEST(!old.tls().shake_hands());
  auto h2 = at.connect({.protocols = "\x02h2"});
  BOOST_TEST(!h2.tls().shake_hands());
  auto both = at.connect({.protocols = "\x02h2\x08http/1.1"});
  BOOST_TEST(both.ask(get("/livez")).status == 200);
  BOOST_TEST(both.tls().spoken() == "http/1.1");
  auto silent = at.connect({.protocols = {}});
  BOOST_TEST(silent.ask(get("/livez")).status == 200);
  BOOST_TEST(at.server.counters.http_requests == 2U);
}

BOOST_AUTO_TEST_CASE(a_client_that_was_here_goes_on_without_another_handshake) {
  tls_server at;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto first = at.connect({.lowest = version, .highest = version});
    BOOST_TEST(first.ask(get("/livez")).status == 200);
    BOOST_TEST(!first.tls().resumed());
    auto again =
        at.connect({.lowest = version, .highest = version, .session = first.tls().session()});
    BOOST_TEST(again.ask(get("/livez")).status == 200);
    BOOST_TEST(again.tls().resumed());
  }
}

BOOST_AUTO_TEST_CASE(handshake_and_request_may_come_byte_by_byte) {
  tls_server at;
  auto client = at.connect({.drip = true});
  for (const char c : create)
    BOOST_REQUIRE(client.send({&c, 1}));
  BOOST_TEST(client.receive().status == 201);
  BOOST_TEST(client.ask(create_chunked + "f\r\n{\"kind\":\"echo\"}\r\n0\r\n\r\n").status == 201);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(refusing)

BOOST_AUTO_TEST_CASE(a_plain_request_is_told_that_this_is_tls) {
  tls_server at;
  for (const auto& request : {get("/livez"), create, std::string{"PATCH / HTTP/1.1\r\n\r\n"}}) {
    auto client = at.connect_plain();
    const auto answer = client.ask(request);
    BOOST_TEST(answer.status == 400);
    BOOST_TEST(answer.header("Content-Type") == "application/problem+json");
    BOOST_TEST(answer.header("Connection") == "close");
    BOOST_TEST(answer.body.find(R"("code":"tls_required")") != std::string::npos, answer.body);
    BOOST_TEST(client.ended());
  }
  BOOST_TEST(at.server.engine->asked().empty());
  BOOST_TEST(at.server.counters.http_rejected == 3U);
}

BOOST_AUTO_TEST_CASE(what_is_neither_is_closed_without_a_word) {
  tls_server at;
  for (const auto& noise :
       {std::string(64, '\0'), std::string{"\x80\x2e\x01\x03\x01"}, std::string{"hello\r\n\r\n"},
        std::string("\x16\x03\x01\xff\xff junk")}) {
    auto client = at.connect_plain();
    client.send(noise);
    client.finish_sending();
    const auto said = client.receive_to_end().value_or("");
    BOOST_TEST((said.empty() || said.front() == '\x15')); // an alert at most
  }
  BOOST_TEST(at.server.await_connections(0));
  BOOST_TEST(at.connect().ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_handshake_that_stalls_is_closed_in_time) {
  auto limits = quickly_swept();
  limits.head = 3s; // by then all of them have said what they have to say
  tls_server at{limits};
  const auto hello = tls_end{-1}.first_flight();
  std::vector<std::unique_ptr<raw_client>> stalled;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{5}, hello.size() / 2, hello.size()}) {
    stalled.push_back(std::make_unique<raw_client>(at.server.port(), std::nullopt));
    stalled.back()->send(hello.substr(0, size));
  }
  auto silent = at.connect(); // shakes hands and asks nothing
  BOOST_TEST(silent.tls().shake_hands());
  for (const auto& client : stalled)
    BOOST_TEST(client->receive_to_end().has_value());
  BOOST_TEST(silent.ended());
  BOOST_TEST(at.server.await_connections(0));
}

BOOST_AUTO_TEST_CASE(handshakes_count_among_the_heads_that_are_incomplete) {
  server_limits limits;
  limits.heads_incomplete = 1;
  tls_server at{limits};
  auto first = at.connect();
  BOOST_TEST(first.tls().shake_hands());
  auto second = at.connect();
  second.tls().first_flight();
  auto third = at.connect_plain();
  BOOST_TEST(third.send(get("/livez")));
  BOOST_TEST(at.server.counters.http_connections == 1U);
  BOOST_TEST(first.ask(get("/livez")).status == 200);
  second.close();
  BOOST_TEST(third.receive().status == 400);
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(ending)

BOOST_AUTO_TEST_CASE(an_orderly_end_is_said_and_a_cut_answer_is_not) {
  scripted_exports exports;
  auto limits = quickly_swept();
  limits.idle = 200ms;
  tls_server at{limits, &exports};
  auto asked_to = at.connect();
  BOOST_TEST(asked_to.ask(get("/livez", closing)).status == 200);
  BOOST_TEST(asked_to.receive_to_end().has_value());
  auto idle = at.connect();
  BOOST_TEST(idle.ask(get("/livez")).status == 200);
  BOOST_TEST(idle.receive_to_end().has_value());
  const auto ask = "GET " + target + " HTTP/1.0\r\n" + host + "\r\n";
  auto whole = at.connect();
  whole.send(ask);
  BOOST_TEST(exports.text(0)->give("one\n"));
  BOOST_TEST(exports.text(0)->end());
  BOOST_TEST(whole.receive().status == 200);
  BOOST_TEST(whole.receive_to_end().value_or("cut") == "one\n");
  auto cut = at.connect();
  cut.send(ask);
  BOOST_TEST(exports.text(1)->give("one\n"));
  BOOST_TEST(exports.text(1)->fail(errc::database));
  BOOST_TEST(!cut.receive_to_end().has_value());
  auto chunked = at.connect();
  chunked.send(get(target));
  BOOST_TEST(exports.text(2)->give("one\n"));
  BOOST_TEST(exports.text(2)->fail(errc::database));
  BOOST_TEST(chunked.receive().status == 200);
  BOOST_TEST(!chunked.receive_chunks().has_value());
  BOOST_TEST(!chunked.receive_to_end().has_value());
}

BOOST_AUTO_TEST_CASE(who_stops_sending_gets_an_answer_whether_he_says_so_or_not) {
  tls_server at;
  slow_engine engine{*at.server.engine};
  auto polite = at.connect();
  polite.send(create);
  polite.finish_sending();
  auto rude = at.connect();
  rude.send(create);
  shutdown(rude.socket_number(), SHUT_WR);
  BOOST_REQUIRE(engine.asked.await(2));
  engine.release();
  for (auto* client : {&polite, &rude}) {
    BOOST_TEST(client->receive().status == 201);
    BOOST_TEST(client->ended());
  }
}

BOOST_AUTO_TEST_CASE(a_stop_ends_idle_connections_orderly_and_lets_busy_ones_finish) {
  tls_server at;
  slow_engine engine{*at.server.engine};
  auto idle = at.connect();
  BOOST_TEST(idle.ask(get("/livez")).status == 200);
  auto midway = at.connect_plain();
  midway.send(at.connect().tls().first_flight().substr(0, 7));
  auto busy = at.connect();
  busy.send(create);
  BOOST_REQUIRE(engine.asked.await(1));
  auto stopped = at.server.begin_stop(60s);
  BOOST_TEST(idle.receive_to_end().has_value());
  midway.receive_to_end();
  engine.release();
  BOOST_TEST(busy.receive().header("Connection") == "close");
  BOOST_TEST(busy.receive_to_end().has_value());
  busy.close();
  BOOST_TEST((stopped.wait_for(patience) == std::future_status::ready));
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(much)

BOOST_AUTO_TEST_CASE(a_large_export_arrives_whole_in_both_versions) {
  scripted_exports exports;
  tls_server at{{}, &exports};
  std::string piece;
  for (int i = 0; i < 200'000; ++i)
    piece += std::to_string(i) + '\n';
  std::size_t number = 0;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION})
    for (const bool gzip : {false, true}) {
      auto client = at.connect({.lowest = version, .highest = version});
      client.send(get(target, gzip ? "Accept-Encoding: gzip\r\n" : ""));
      std::string expected;
      std::thread giving{[&, text = exports.text(number++)] {
        for (int i = 0; i < 10; ++i)
          text->give(piece);
        text->end();
      }};
      for (int i = 0; i < 10; ++i)
        expected += piece;
      const auto head = client.receive();
      auto got = client.receive_chunks().value_or("cut off");
      giving.join();
      BOOST_TEST(head.header("Content-Encoding") == (gzip ? "gzip" : ""));
      if (gzip)
        got = gunzip(got).value_or("no gzip");
      BOOST_TEST((got == expected));
      BOOST_TEST(client.ask(get("/livez")).status == 200);
    }
}

BOOST_AUTO_TEST_CASE(large_bodies_go_in_while_large_answers_wait) {
  tls_server at;
  const std::string large = "\"" + std::string(limits::args_bytes - 2, 'y') + "\"";
  at.server.engine->on_ask([&](const api_request&, const canned_engine::reply_function& reply) {
    auto job = canned_engine::job({17});
    job.args = large;
    reply(job);
  });
  auto client = at.connect();
  constexpr int rounds = 8;
  for (int i = 0; i < rounds; ++i)
    client.send(get("/api/v1/jobs/17"));
  client.send(post("/api/v1/jobs/17/cancel", "{}"));
  for (int i = 0; i <= rounds; ++i) {
    const auto answer = client.receive();
    BOOST_REQUIRE(answer.status == 200);
    BOOST_REQUIRE(answer.body.find(large) != std::string::npos);
  }
  at.server.engine->on_ask({});
  BOOST_TEST(client.ask(post("/api/v1/jobs", R"({"kind":"echo","args":)" + large + "}")).status
             == 201);
  BOOST_TEST((std::get<enqueue_jobs>(at.server.engine->asked().back()).jobs.front().args == large));
}

BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE(changing)

BOOST_AUTO_TEST_CASE(a_new_certificate_is_for_new_connections_and_open_ones_go_on) {
  tests_certificates().issue("renewed", "localhost");
  tls_server at;
  auto open = at.connect();
  BOOST_TEST(open.ask(get("/livez")).status == 200);
  at.take("renewed");
  BOOST_TEST(at.context->reload());
  auto fresh = at.connect({.session = open.tls().session()});
  BOOST_TEST(fresh.ask(get("/livez")).status == 200);
  BOOST_TEST(!fresh.tls().resumed());
  BOOST_TEST((fresh.tls().serial() != open.tls().serial()));
  BOOST_TEST(open.ask(create).status == 201);
}

BOOST_AUTO_TEST_CASE(changed_files_are_noticed_without_being_told) {
  tests_certificates().issue("noticed", "localhost");
  server_limits limits;
  limits.certificate_look = 10ms;
  tls_server at{limits};
  auto open = at.connect();
  BOOST_TEST(open.ask(get("/livez")).status == 200);
  at.take("noticed");
  BOOST_TEST(await_until([&] {
    auto fresh = at.connect();
    return fresh.tls().shake_hands() && fresh.tls().serial() != open.tls().serial();
  }));
  BOOST_TEST(open.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_bad_pair_changes_nothing_for_clients) {
  tls_server at;
  std::filesystem::remove(at.file("in-use.key"));
  BOOST_TEST(!at.context->reload());
  BOOST_TEST(at.connect().ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_SUITE_END()
