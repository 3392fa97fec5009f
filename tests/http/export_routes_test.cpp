// The routes of exports: what is asked of the port, what heads say, the bound.
#include "tests/http/running_server.hpp"
#include "tests/http/scripted_exports.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

BOOST_AUTO_TEST_SUITE(exports)

BOOST_AUTO_TEST_CASE(each_format_has_its_type_and_name_and_head_opens_nothing) {
  scripted_exports port;
  running_server server{{}, &port};
  raw_client client{server.port()};
  std::size_t number = 0;
  for (const auto& [name, type, format] :
       std::vector<std::tuple<std::string, std::string, export_format>>{
           {"jobs.ndjson", "application/x-ndjson", export_format::ndjson},
           {"jobs.csv", "text/csv; charset=utf-8; header=present", export_format::csv},
           {"jobs.json", "application/json", export_format::json}}) {
    const auto by_head = client.ask("HEAD /api/v1/" + name + " HTTP/1.1\r\n" + host + "\r\n", true);
    client.send(get("/api/v1/" + name));
    BOOST_TEST(port.text(number)->end());
    const auto by_get = client.receive();
    BOOST_TEST(client.receive_chunks().value_or("cut off") == "");
    for (const auto& answer : {by_head, by_get}) {
      BOOST_TEST(answer.status == 200);
      BOOST_TEST(answer.header("Content-Type") == type);
      BOOST_TEST(answer.header("Content-Disposition") == "attachment; filename=\"" + name + "\"");
      BOOST_TEST(answer.header("Vary") == "Accept-Encoding");
      BOOST_TEST(answer.header("Content-Encoding") == "");
      BOOST_TEST(answer.header("Content-Length") == "");
    }
    BOOST_TEST((port.asked().at(number).format == format));
    ++number;
  }
  BOOST_TEST(port.asked().size() == 3U);
}

BOOST_AUTO_TEST_CASE(filters_are_those_of_lists_and_others_are_refused) {
  scripted_exports port;
  running_server server{{}, &port};
  raw_client client{server.port()};
  for (const auto* wrong : {"state=lost", "queue=a%20b", "kind=", "limit=0", "limit=x", "cursor=x",
                            "limit=9223372036854775808", "state=running&state=running", "all=1",
                            "tag=", "created_from=now", "args=%5B%5D", "tags=a"})
    BOOST_TEST(client.ask(get(std::string{"/api/v1/jobs.csv?"} + wrong)).status == 400, wrong);
  BOOST_TEST(port.asked().empty());
  client.send(get("/api/v1/jobs.csv?state=completed&queue=q&kind=k&limit=5&tag=a&tag=b&limit_key=l"
                  "&created_before=2030-01-31T08:00:00Z&args=%7B%22n%22:1%7D"));
  BOOST_TEST(port.text(0)->end());
  BOOST_TEST(client.receive().status == 200);
  const auto asked = port.asked().at(0);
  BOOST_TEST((asked.filter.state == job_state::completed));
  BOOST_TEST(asked.filter.queue.value() == "q");
  BOOST_TEST(asked.filter.kind.value() == "k");
  BOOST_TEST((asked.filter.tags == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(asked.filter.limit_key.value() == "l");
  BOOST_TEST(asked.filter.created_before.has_value());
  BOOST_TEST(asked.filter.args == R"({"n":1})");
  BOOST_TEST(asked.limit.value() == 5);
}

BOOST_AUTO_TEST_CASE(who_accepts_gzip_has_it) {
  scripted_exports port;
  running_server server{{}, &port};
  raw_client client{server.port()};
  client.send(get("/api/v1/jobs.ndjson", "Accept-Encoding: gzip\r\n"));
  const std::string text(100'000, 'x');
  BOOST_TEST(port.text(0)->give(text));
  BOOST_TEST(port.text(0)->end());
  const auto head = client.receive();
  BOOST_TEST(head.header("Content-Encoding") == "gzip");
  BOOST_TEST(head.header("Vary") == "Accept-Encoding");
  const auto bytes = client.receive_chunks().value_or("cut off");
  BOOST_TEST(bytes.size() < 1000U);
  BOOST_TEST((gunzip(bytes) == text));
  BOOST_TEST(port.text(0)->gone.await(1));
}

BOOST_AUTO_TEST_CASE(more_than_the_bound_are_503_until_one_has_ended) {
  scripted_exports port;
  server_limits limits;
  limits.exports = 2;
  running_server server{limits, &port};
  raw_client first{server.port()};
  raw_client second{server.port()};
  raw_client third{server.port()};
  first.send(get("/api/v1/jobs.csv"));
  second.send(get("/api/v1/jobs.json", "Accept-Encoding: gzip\r\n"));
  BOOST_TEST(port.opened.await(2));
  const auto refused = third.ask(get("/api/v1/jobs.csv"));
  BOOST_TEST(refused.status == 503);
  BOOST_TEST(refused.header("Retry-After") == "1");
  BOOST_TEST(third.ask("HEAD /api/v1/jobs.csv HTTP/1.1\r\n" + host + "\r\n", true).status == 200);
  second.close();
  BOOST_TEST(port.text(1)->gone.await(1));
  // The count is lowered by the source's end, which `gone` is a moment ahead of.
  BOOST_TEST(await_until([&] {
    raw_client again{server.port()};
    again.send(get("/api/v1/jobs.csv"));
    return port.opened.await(3, 100ms);
  }));
  first.close();
}

BOOST_AUTO_TEST_SUITE_END()
