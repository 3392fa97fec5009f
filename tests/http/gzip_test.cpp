// Texts compressed on their way, and who may have them so.
#include "http/gzip.hpp"
#include "tests/http/running_server.hpp"
#include "tests/http/scripted_exports.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>
#include <random>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

/// Gives its pieces at once.
struct ready_text final : text_source {
  explicit ready_text(std::vector<std::string> p, bool b = false)
      : pieces(std::move(p)), breaks(b) {}
  void next(std::function<void(piece)> reply) override {
    if (at < pieces.size())
      return reply(std::optional{pieces[at++]});
    if (breaks)
      return reply(failure{errc::database, "broken"});
    reply(std::optional<std::string>{});
  }
  std::vector<std::string> pieces;
  bool breaks;
  std::size_t at = 0;
};

/// Every piece of a source, and whether its end was one.
std::pair<std::string, bool> all_of(text_source& from) {
  std::string out;
  for (;;) {
    text_source::piece told;
    from.next([&](text_source::piece got) { told = std::move(got); });
    auto* bytes = std::get_if<std::optional<std::string>>(&told);
    if (bytes == nullptr || !*bytes)
      return {out, bytes != nullptr};
    out += **bytes;
  }
}

bool accepts(std::string_view value) {
  request_head head;
  head.fields = {{"Accept", "text/csv"}, {"ACCEPT-Encoding", value}};
  return accepts_gzip(head);
}

} // namespace

BOOST_AUTO_TEST_SUITE(gzip)

BOOST_AUTO_TEST_CASE(any_pieces_come_out_as_they_went_in) {
  std::mt19937 random{20'261'128};
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> pieces(random() % 8);
    std::string whole;
    for (auto& piece : pieces) {
      piece.resize(random() % 3 == 0 ? random() % 300'000 : random() % 20);
      const auto letters = 1 + random() % 255;
      for (auto& c : piece)
        c = static_cast<char>(random() % letters);
      whole += piece;
    }
    const auto source = gzipped(std::make_unique<ready_text>(std::move(pieces)));
    const auto [bytes, ended] = all_of(*source);
    BOOST_TEST(ended);
    BOOST_TEST((gunzip(bytes) == whole));
  }
}

BOOST_AUTO_TEST_CASE(a_failure_is_passed_on_and_leaves_no_whole_text) {
  const auto source = gzipped(
      std::make_unique<ready_text>(std::vector<std::string>{std::string(100'000, 'x')}, true));
  const auto [bytes, ended] = all_of(*source);
  BOOST_TEST(!ended);
  BOOST_TEST(!gunzip(bytes).has_value());
}

BOOST_AUTO_TEST_CASE(lines_of_jobs_become_much_shorter) {
  const auto source =
      gzipped(std::make_unique<ready_text>(std::vector<std::string>(10, std::string(10'000, 'x'))));
  BOOST_TEST(all_of(*source).first.size() < 2000U);
}

BOOST_AUTO_TEST_CASE(who_accepts_gzip) {
  for (const auto* yes : {"gzip", "deflate, gzip", "GZIP;q=0.5", "*", "br, x-gzip ; q=1.0",
                          "identity;q=1, *;q=0.1", "*;q=0, gzip"})
    BOOST_TEST(accepts(yes), yes);
  for (const auto* no :
       {"", "identity", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *", "deflate", "gzipped"})
    BOOST_TEST(!accepts(no), no);
  BOOST_TEST(!accepts_gzip(request_head{}));
}

BOOST_AUTO_TEST_CASE(large_json_is_compressed_for_who_takes_it_and_nothing_else_is) {
  const std::string large(1000, 'x');
  auto answer = json_response(200, large);
  compress(answer, true, 1000);
  BOOST_TEST(answer.gzip);
  BOOST_TEST(answer.varies);
  BOOST_TEST((gunzip(answer.body) == large));
  answer = json_response(201, large);
  compress(answer, false, 1000);
  BOOST_TEST((!answer.gzip && answer.varies && answer.body == large));
  const auto left_alone = [&](const std::function<void(response&)>& change) {
    auto one = json_response(200, large);
    change(one);
    compress(one, true, 1000);
    return !one.gzip && !one.varies;
  };
  BOOST_TEST(left_alone([](response& r) { r.body.pop_back(); }));
  BOOST_TEST(left_alone([](response& r) { r.etag = "\"1\""; }));
  BOOST_TEST(left_alone([](response& r) { r.content_type = "text/plain"; }));
  BOOST_TEST(left_alone([](response& r) { r.status = 204; }));
  BOOST_TEST(left_alone([](response& r) { r.streamed = true; }));
  BOOST_TEST(left_alone([](response& r) { r = problem_response({}); }));
}

BOOST_AUTO_TEST_CASE(a_page_arrives_as_gzip_where_that_is_taken_and_is_the_same) {
  running_server server;
  auto job = canned_engine::job({17});
  server.engine->on_ask([&](const api_request&, const canned_engine::reply_function& reply) {
    reply(job_page{std::vector(200, job), {}});
  });
  raw_client client{server.port()};
  const auto plain = client.ask(get("/api/v1/jobs"));
  BOOST_TEST(plain.header("Vary") == "Accept-Encoding");
  BOOST_TEST(plain.header("Content-Encoding").empty());
  const auto small = client.ask(get("/api/v1/jobs", "Accept-Encoding: gzip, br\r\n"));
  BOOST_TEST(small.header("Content-Encoding") == "gzip");
  BOOST_TEST(small.header("Vary") == "Accept-Encoding");
  BOOST_TEST(small.body.size() < plain.body.size() / 4);
  BOOST_TEST((gunzip(small.body) == plain.body));
  const auto head =
      client.ask("HEAD /api/v1/jobs HTTP/1.1\r\n" + host + "Accept-Encoding: gzip\r\n\r\n", true);
  BOOST_TEST(head.header("Content-Length") == small.header("Content-Length"));
  server.engine->on_ask({});
  const auto short_one = client.ask(get("/api/v1/jobs/17", "Accept-Encoding: gzip\r\n"));
  BOOST_TEST(short_one.header("Content-Encoding").empty());
  BOOST_TEST(short_one.header("Vary").empty());
}

BOOST_AUTO_TEST_SUITE_END()
