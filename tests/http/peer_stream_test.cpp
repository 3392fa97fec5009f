// Answers that come in pieces, to the letter: framing, back-pressure, and every way in which one is
// not whole.
#include "tests/http/running_server.hpp"
#include "tests/http/scripted_exports.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

const std::string target = "/api/v1/jobs.ndjson";

server_limits quick_limits() {
  server_limits out;
  out.write = 200ms;
  out.sweep = 10ms;
  return out;
}

/// More than the sockets between server and client hold, however the kernel sizes them.
const std::string much(64UL * 1024 * 1024, 'x');

} // namespace

BOOST_AUTO_TEST_SUITE(streams)

BOOST_AUTO_TEST_CASE(pieces_are_chunks_and_the_connection_goes_on) {
  scripted_exports exports;
  running_server server{{}, &exports};
  raw_client client{server.port()};
  for (std::size_t round = 0; round < 2; ++round) {
    client.send(get(target));
    const auto text = exports.text(round);
    BOOST_TEST(text->give("one\n"));
    BOOST_TEST(text->give(""));
    BOOST_TEST(text->give("two\n"));
    BOOST_TEST(text->end());
    const auto head = client.receive();
    BOOST_TEST(head.status == 200);
    BOOST_TEST(head.header("Transfer-Encoding") == "chunked");
    BOOST_TEST(head.header("Content-Length") == "");
    BOOST_TEST(client.receive_chunks().value_or("cut off") == "one\ntwo\n");
    BOOST_TEST(text->gone.await(1));
    BOOST_TEST(text->asked.count() == 4);
  }
  BOOST_TEST(client.ask(get("/livez")).body == "ok\n");
}

BOOST_AUTO_TEST_CASE(requests_behind_a_stream_are_answered_after_it) {
  scripted_exports exports;
  running_server server{{}, &exports};
  raw_client client{server.port()};
  client.send(get(target) + get("/livez"));
  const auto text = exports.text(0);
  BOOST_TEST(text->give("one\n"));
  BOOST_TEST(text->end());
  BOOST_TEST(client.receive().status == 200);
  BOOST_TEST(client.receive_chunks().value_or("cut off") == "one\n");
  BOOST_TEST(client.receive().body == "ok\n");
}

BOOST_AUTO_TEST_CASE(a_client_of_http_1_0_has_the_text_to_the_end_of_the_connection) {
  scripted_exports exports;
  running_server server{{}, &exports};
  const auto ask = "GET " + target + " HTTP/1.0\r\n" + host + "\r\n";
  raw_client client{server.port()};
  client.send(ask);
  BOOST_TEST(exports.text(0)->give("one\n"));
  BOOST_TEST(exports.text(0)->end());
  const auto head = client.receive();
  BOOST_TEST(head.header("Transfer-Encoding") == "");
  BOOST_TEST(head.header("Connection") == "close");
  BOOST_TEST(client.receive_to_end().value_or("reset") == "one\n");
  raw_client unlucky{server.port()};
  unlucky.send(ask);
  BOOST_TEST(exports.text(1)->give("one\n"));
  BOOST_TEST(exports.text(1)->fail(errc::database));
  BOOST_TEST(!unlucky.receive_to_end().has_value());
}

BOOST_AUTO_TEST_CASE(the_next_piece_is_asked_for_when_the_socket_has_taken_the_last) {
  scripted_exports exports;
  running_server server{{}, &exports};
  raw_client client{server.port()};
  client.send(get(target));
  const auto text = exports.text(0);
  BOOST_TEST(text->give(much));
  // The piece is with the loop; another connection's answer shows that the loop has had its turn.
  raw_client other{server.port()};
  BOOST_TEST(other.ask(get("/livez")).status == 200);
  BOOST_TEST(other.ask(get("/livez")).status == 200);
  BOOST_TEST(text->asked.count() == 1);
  BOOST_TEST(client.receive().status == 200); // its body is taken below
  std::thread taking{[&] {
    text->give("end");
    text->end();
  }};
  BOOST_TEST((client.receive_chunks() == much + "end"));
  taking.join();
}

BOOST_AUTO_TEST_CASE(what_fails_before_the_first_piece_is_a_problem) {
  scripted_exports exports;
  running_server server{{}, &exports};
  raw_client client{server.port()};
  client.send(get(target));
  BOOST_TEST(exports.text(0)->fail(errc::overloaded));
  const auto answer = client.receive();
  BOOST_TEST(answer.status == 503);
  BOOST_TEST(answer.header("Retry-After") == "1");
  BOOST_TEST(answer.header("Content-Type") == "application/problem+json");
  BOOST_TEST(client.ask(get("/livez")).status == 200);
  client.send(get(target));
  BOOST_TEST(exports.text(1)->drop());
  BOOST_TEST(client.receive().status == 503);
}

BOOST_AUTO_TEST_CASE(what_fails_later_leaves_out_the_last_chunk) {
  scripted_exports exports;
  running_server server{{}, &exports};
  for (std::size_t round = 0; round < 2; ++round) {
    raw_client client{server.port()};
    client.send(get(target));
    const auto text = exports.text(round);
    BOOST_TEST(text->give("one\n"));
    BOOST_TEST((round == 0 ? text->fail(errc::unavailable) : text->drop()));
    BOOST_TEST(client.receive().status == 200);
    std::string so_far;
    BOOST_TEST(!client.receive_chunks(&so_far).has_value());
    BOOST_TEST(so_far == "one\n");
    BOOST_TEST(client.ended());
  }
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_ends_the_source_while_it_waits_and_while_it_writes) {
  scripted_exports exports;
  running_server server{{}, &exports};
  for (std::size_t round = 0; round < 3; ++round) {
    raw_client client{server.port()};
    client.send(get(target));
    const auto text = exports.text(round);
    if (round > 0) {
      BOOST_TEST(text->give("one\n"));
      BOOST_TEST(client.receive().status == 200);
    }
    if (round > 1)
      BOOST_TEST(text->give(much));
    else
      BOOST_TEST(text->asked.await(static_cast<int>(round) + 1));
    client.close();
    BOOST_TEST(text->gone.await(1));
  }
  BOOST_TEST(server.await_connections(0));
}

BOOST_AUTO_TEST_CASE(a_client_that_reads_nothing_is_cut_off) {
  scripted_exports exports;
  running_server server{quick_limits(), &exports};
  raw_client client{server.port()};
  client.send(get(target));
  BOOST_TEST(exports.text(0)->give(much));
  BOOST_TEST(exports.text(0)->gone.await(1));
  BOOST_TEST(client.receive().status == 200);
  BOOST_TEST(!client.receive_chunks().has_value());
}

BOOST_AUTO_TEST_CASE(a_piece_that_does_not_come_is_504_or_the_end) {
  scripted_exports exports;
  auto limits = quick_limits();
  limits.piece = 50ms;
  {
    running_server server{limits, &exports};
    raw_client client{server.port()};
    client.send(get(target));
    BOOST_TEST(client.receive().status == 504);
    BOOST_TEST(exports.text(0)->gone.await(1));
    BOOST_TEST(client.ask(get("/livez")).body == "ok\n"); // it goes on
  }
  limits.piece = 3s; // the first piece has to be there by then
  running_server server{limits, &exports};
  raw_client client{server.port()};
  client.send(get(target));
  BOOST_TEST(exports.text(1)->give("one\n"));
  BOOST_TEST(client.receive().status == 200);
  BOOST_TEST(!client.receive_chunks().has_value());
  BOOST_TEST(exports.text(1)->gone.await(1));
}

BOOST_AUTO_TEST_CASE(a_stream_outlives_the_time_for_answers) {
  scripted_exports exports;
  auto limits = quick_limits();
  limits.answer = 1ms;
  running_server server{limits, &exports};
  raw_client client{server.port()};
  client.send(get(target));
  const auto text = exports.text(0);
  BOOST_TEST(text->asked.await(1));
  raw_client other{server.port()}; // which is 504 by the sweep
  slow_engine slow{*server.engine};
  BOOST_TEST(other.ask(get("/api/v1/jobs/17")).status == 504);
  BOOST_TEST(text->give("one\n"));
  BOOST_TEST(text->end());
  BOOST_TEST(client.receive().status == 200);
  BOOST_TEST(client.receive_chunks().value_or("cut off") == "one\n");
}

BOOST_AUTO_TEST_CASE(a_server_that_stops_lets_a_stream_end_and_cuts_it_after_the_grace) {
  scripted_exports exports;
  {
    running_server server{{}, &exports};
    raw_client client{server.port()};
    client.send(get(target));
    BOOST_TEST(exports.text(0)->give("one\n"));
    BOOST_TEST(exports.text(0)->asked.await(2));
    auto stopped = server.begin_stop(60s);
    BOOST_TEST(exports.text(0)->end());
    BOOST_TEST(client.receive().status == 200);
    BOOST_TEST(client.receive_chunks().value_or("cut off") == "one\n");
    BOOST_TEST(client.ended());
    stopped.wait();
  }
  running_server server{{}, &exports};
  raw_client client{server.port()};
  client.send(get(target));
  BOOST_TEST(exports.text(1)->give("one\n"));
  BOOST_TEST(exports.text(1)->asked.await(2));
  server.stop(10ms);
  BOOST_TEST(exports.text(1)->gone.await(1));
  BOOST_TEST(client.receive().status == 200);
  BOOST_TEST(!client.receive_chunks().has_value());
}

BOOST_AUTO_TEST_SUITE_END()
