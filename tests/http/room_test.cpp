// The bytes that all connections of a server hold together, over real sockets with a small bound:
// what does not fit is refused with a defined answer, and room that is given back serves others.
#include "http/room.hpp"
#include "tests/http/exposition.hpp"
#include "tests/http/running_server.hpp"

#include <boost/test/unit_test.hpp>

#include <deque>
#include <latch>
#include <limits>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::tests;

namespace {

constexpr std::size_t kibibyte = 1024;

http::server_limits with_room_for(std::size_t bytes) {
  http::server_limits out;
  out.held_bytes = bytes;
  out.page_bytes = std::numeric_limits<std::size_t>::max();
  return out;
}

/// A job whose body has so many bytes.
std::string job_of(std::size_t bytes) {
  const std::string around = R"({"kind":"echo","args":""})";
  auto out = around;
  out.insert(around.size() - 2, bytes - around.size(), 'x');
  return out;
}

struct small_server {
  explicit small_server(std::size_t bytes) : server(with_room_for(bytes)) {}
  explicit small_server(const http::server_limits& limits) : server(limits) {}

  double metric(const std::string& name, const exposition::labels& with = {}) const {
    const exposition told{raw_client{server.port()}.ask(get("/metrics")).body};
    return told.value(name, with).value_or(-1);
  }
  double held() const { return metric("troupe_http_held_bytes"); }
  double refused() const { return metric("troupe_http_rejected_total", {{"reason", "no_room"}}); }
  bool await_held(double least, double most) const {
    return await_until([&] {
      const auto now = held();
      return now >= least && now <= most;
    });
  }
  raw_response put(const std::string& body) const {
    return raw_client{server.port()}.ask(post("/api/v1/jobs", body));
  }
  /// The engine shows a job of so many bytes.
  void shows(std::size_t bytes) {
    server.engine->on_ask(
        [bytes](const api_request& asked, const canned_engine::reply_function& reply) {
          if (!std::holds_alternative<get_job>(asked))
            return reply(canned_engine::usual(asked));
          auto job = canned_engine::job({17});
          job.args = '"' + std::string(bytes, 'x') + '"';
          reply(job);
        });
  }

  running_server server;
};

void is_no_room(const raw_response& answer) {
  BOOST_TEST(answer.status == 503);
  BOOST_TEST(answer.header("Retry-After") == "1");
  BOOST_TEST(answer.header("Content-Type") == "application/problem+json");
  BOOST_TEST(answer.body.find(R"("code":"no_room")") != std::string::npos);
  BOOST_TEST(answer.body.find(R"("retryable":true)") != std::string::npos);
}

} // namespace

BOOST_AUTO_TEST_SUITE(room)

BOOST_AUTO_TEST_CASE(what_several_threads_give_back_is_all_there_again) {
  constexpr std::size_t threads = 2;
  constexpr std::size_t each = 20'000;
  http::room of{threads * each};
  for (int round = 0; round < 200; ++round) {
    std::vector<std::deque<http::room_share>> shares(threads);
    for (auto& some : shares)
      while (some.size() < each)
        some.emplace_back(of).hold(1);
    BOOST_REQUIRE(!of.fits(1));
    std::latch together{threads};
    std::vector<std::thread> all;
    for (auto& some : shares)
      all.emplace_back([&] {
        together.arrive_and_wait();
        some.clear();
      });
    for (auto& one : all)
      one.join();
    BOOST_REQUIRE(of.held() == 0U);
  }
}

BOOST_AUTO_TEST_CASE(a_body_for_which_there_is_no_room_is_refused_before_it_is_sent) {
  const small_server at{256 * kibibyte};
  const auto body = job_of(200 * kibibyte);
  const auto whole = post("/api/v1/jobs", body);
  raw_client slow{at.server.port()};
  slow.send(std::string_view{whole}.substr(0, whole.size() - 1));
  BOOST_TEST(at.await_held(200 * kibibyte, 256 * kibibyte));
  {
    raw_client other{at.server.port()};
    const auto answer = other.ask("POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type
                                  + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    is_no_room(answer);
    BOOST_TEST(answer.header("Connection") == "close");
    BOOST_TEST(other.ended());
  }
  BOOST_TEST(at.refused() == 1);
  // What every connection has anyway is there for each of them.
  BOOST_TEST(at.put(job_of(4 * kibibyte)).status == 201);
  BOOST_TEST(raw_client{at.server.port()}.ask(get("/api/v1/jobs/17")).status == 200);
  BOOST_TEST(at.server.engine->asked().size() == 2U);

  slow.send(std::string_view{whole}.substr(whole.size() - 1));
  BOOST_TEST(slow.receive().status == 201);
  BOOST_TEST(at.await_held(0, 0));
  BOOST_TEST(at.put(body).status == 201);
  BOOST_TEST(at.refused() == 1);
}

BOOST_AUTO_TEST_CASE(a_body_that_grows_beyond_the_room_is_refused_while_it_comes) {
  const small_server at{256 * kibibyte};
  raw_client slow{at.server.port()};
  slow.send(post("/api/v1/jobs", job_of(120 * kibibyte)).substr(0, 110 * kibibyte));
  BOOST_TEST(at.await_held(100 * kibibyte, 128 * kibibyte));
  {
    raw_client growing{at.server.port()};
    const std::string chunk = "8000\r\n" + std::string(32 * kibibyte, ' ') + "\r\n";
    growing.send(create_chunked);
    for (int i = 0; i < 8 && growing.send(chunk); ++i) {
    }
    is_no_room(growing.receive());
    BOOST_TEST(growing.ended());
  }
  BOOST_TEST(at.refused() == 1);
  BOOST_TEST(at.server.engine->asked().empty());
  slow.reset();
  BOOST_TEST(at.await_held(0, 0));
}

BOOST_AUTO_TEST_CASE(a_body_is_held_until_it_is_answered) {
  const small_server at{256 * kibibyte};
  slow_engine engine{*at.server.engine};
  raw_client first{at.server.port()};
  first.send(post("/api/v1/jobs", job_of(200 * kibibyte)));
  BOOST_TEST(engine.asked.await(1));
  is_no_room(at.put(job_of(200 * kibibyte)));
  engine.release();
  BOOST_TEST(first.receive().status == 201);
  BOOST_TEST(at.await_held(0, 0));
}

BOOST_AUTO_TEST_CASE(answers_that_nobody_reads_leave_room_for_bodies_and_for_no_more_of_them) {
  constexpr std::size_t answer = 32 * kibibyte * kibibyte;
  small_server at{2 * (2 * answer + 1024 * kibibyte)};
  at.shows(answer);
  const auto ask = [&](raw_client& client) { client.send(get("/api/v1/jobs/17")); };
  raw_client one{at.server.port()};
  raw_client two{at.server.port()};
  ask(one);
  BOOST_TEST(at.await_held(answer, 2 * answer - 1));
  ask(two);
  BOOST_TEST(at.await_held(2 * answer, 2 * answer + 1024 * kibibyte));
  raw_client three{at.server.port()};
  ask(three);
  is_no_room(three.receive());
  BOOST_TEST(three.ask(get("/livez")).status == 200); // it goes on
  BOOST_TEST(at.refused() == 1);
  BOOST_TEST(at.put(job_of(kibibyte * kibibyte)).status == 201);
  one.reset();
  BOOST_TEST(at.await_held(answer, 2 * answer - 1));
  ask(three);
  BOOST_TEST(three.receive().body.size() > answer);
  BOOST_TEST(two.receive().body.size() > answer);
  BOOST_TEST(at.await_held(0, 0));
}

BOOST_AUTO_TEST_CASE(probes_and_metrics_are_answered_though_there_is_no_room) {
  constexpr std::size_t answer = 32 * kibibyte * kibibyte;
  auto limits = with_room_for(2 * (answer + kibibyte));
  limits.buffer_bytes = 2 * kibibyte;
  small_server at{limits};
  at.shows(answer);
  raw_client slow{at.server.port()};
  slow.send(get("/api/v1/jobs/17"));
  BOOST_TEST(at.await_held(answer, 2 * answer)); // by a text that is held itself
  const auto metrics = raw_client{at.server.port()}.ask(get("/metrics"));
  BOOST_TEST(metrics.status == 200);
  BOOST_TEST(metrics.body.size() > 2 * kibibyte);
  is_no_room(raw_client{at.server.port()}.ask(get("/api/v1/jobs/17")));
}

BOOST_AUTO_TEST_CASE(what_was_done_is_told_whether_there_is_room_or_not) {
  small_server at{96 * kibibyte};
  at.shows(100 * kibibyte);
  raw_client client{at.server.port()};
  is_no_room(client.ask(get("/api/v1/jobs/17")));
  BOOST_TEST(client.ask("HEAD /api/v1/jobs/17 HTTP/1.1\r\n" + host + "\r\n", true).status == 200);
  at.server.engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    auto job = canned_engine::job({17});
    job.args = '"' + std::string(100 * kibibyte, 'x') + '"';
    reply(job);
  });
  const auto cancelled = client.ask(post("/api/v1/jobs/17/cancel", "{}"));
  BOOST_TEST(cancelled.status == 200);
  BOOST_TEST(cancelled.body.size() > 100 * kibibyte);
  BOOST_TEST(at.await_held(0, 0));
}

BOOST_AUTO_TEST_SUITE_END()
