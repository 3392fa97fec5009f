// /api/v1/jobs/counts without a socket: what is asked of the engine, and how its answer is written.
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

struct counts_route {
  counts_route() {
    context.ask = engine;
    add_job_routes(table, context, limits); // as it is served: beside a path with an id
    engine->on_ask(
        [this](const api_request&, const canned_engine::reply_function& reply) { reply(answer); });
  }

  response get(std::string_view query = "") {
    auto matched = table.match(method::get, "/api/v1/jobs/counts");
    request_view request;
    request.query = query;
    std::optional<response> out;
    std::get<route_match>(matched).found->handle(request,
                                                 [&](response given) { out = std::move(given); });
    BOOST_REQUIRE(out);
    return *out;
  }
  get_counts asked() {
    BOOST_REQUIRE(!engine->asked().empty());
    return std::get<get_counts>(engine->asked().back());
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  api_reply answer = counts_page{};
  services context;
  server_limits limits;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(about_counts, counts_route)

BOOST_AUTO_TEST_CASE(each_queue_is_written_with_all_its_states) {
  answer = counts_page{{{"a", 1, 2, 3, 4, 5, 6, 7}, {"b", 0, 9'000'000'000, 0, 0, 0, 0, 0}}, "b"};
  BOOST_TEST(json::parse(get().body) == json::parse(R"({"queues":[
    {"queue":"a","scheduled":1,"available":2,"running":3,"retryable":4,"completed":5,"cancelled":6,
     "discarded":7},
    {"queue":"b","scheduled":0,"available":9000000000,"running":0,"retryable":0,"completed":0,
     "cancelled":0,"discarded":0}],"next":"b"})"));
  answer = counts_page{};
  BOOST_TEST(get().body == R"({"queues":[],"next":null})");
}

BOOST_AUTO_TEST_CASE(one_queue_or_a_page_of_them_can_be_asked_for) {
  get();
  BOOST_TEST(asked().limit == 100);
  BOOST_TEST(asked().queue.empty());
  get("queue=mail");
  BOOST_TEST(asked().queue == "mail");
  get("limit=7&after=mail");
  BOOST_TEST(asked().after == "mail");
  BOOST_TEST(asked().limit == 7);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_in_the_query_is_named) {
  for (const auto* query :
       {"queue=a%20b", "after=", "limit=0", "limit=501", "state=running", "queue"})
    BOOST_TEST(get(query).status == 400, query);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(a_failure_is_told) {
  answer = failure{errc::unavailable, "no database connection"};
  BOOST_TEST(get().status == 503);
}

BOOST_AUTO_TEST_SUITE_END()
