// Members that are asked for by name: which are known, what is written of them, and what is
// refused.
#include "http/fields.hpp"
#include "http/json.hpp"
#include "http/json_queue.hpp"
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>
#include <random>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

job_record whole_job() {
  auto job = canned_engine::job({17});
  job.state = job_state::running;
  job.node = "n1";
  job.started_at = job.created_at;
  job.retry.emplace();
  job.limit_key = "k";
  job.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  job.tags = {"a", "b"};
  job.attempts.resize(1);
  return job;
}

template<class Write>
void each_is_written_alone_and_with_others(std::span<const std::string_view> names, Write write) {
  std::mt19937 random{20'261'130};
  const auto whole = json::parse(write(chosen_fields{}));
  BOOST_TEST(whole.size() == names.size());
  for (int round = 0; round < 200; ++round) {
    std::string query;
    json expected = json::object();
    for (int i = 0; i <= static_cast<int>(random() % 5); ++i) {
      const std::string name{names[random() % names.size()]};
      query += (query.empty() ? "" : ",") + name;
      expected[name] = whole.at(name);
    }
    const auto read = read_fields(query, names);
    BOOST_REQUIRE(read.index() == 0);
    BOOST_TEST(json::parse(write(std::get<chosen_fields>(read))) == expected, query);
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(whatever_is_chosen_of_a_job_is_what_the_whole_has) {
  const auto job = whole_job();
  for (const bool with_attempts : {true, false})
    each_is_written_alone_and_with_others(with_attempts ? job_fields(true) : job_fields(false),
                                          [&](chosen_fields wanted) {
                                            std::string out;
                                            append_job(out, job, with_attempts, wanted);
                                            return out;
                                          });
}

BOOST_AUTO_TEST_CASE(whatever_is_chosen_of_a_queue_is_what_the_whole_has) {
  queue_record queue;
  queue.name = "mail";
  queue.rate.emplace();
  queue.paused_at.emplace();
  each_is_written_alone_and_with_others(queue_fields(), [&](chosen_fields wanted) {
    std::string out;
    append_queue(out, queue, wanted);
    return out;
  });
}

BOOST_AUTO_TEST_CASE(what_a_job_does_not_have_now_is_left_out) {
  const auto fields = std::get<chosen_fields>(read_fields("node,retry,id", job_fields(true)));
  std::string out;
  append_job(out, canned_engine::job({17}), true, fields);
  BOOST_TEST(out == R"({"id":"17"})");
}

BOOST_AUTO_TEST_CASE(each_name_that_is_none_is_pointed_at) {
  const auto read = read_fields("id,Id,,state,attempts", job_fields(false));
  BOOST_REQUIRE(read.index() == 1);
  const auto& fault = *std::get<response>(read).fault;
  BOOST_TEST(fault.status == 400);
  BOOST_REQUIRE(fault.errors.size() == 3U);
  BOOST_TEST(fault.errors[0].pointer == "/fields/1");
  BOOST_TEST(fault.errors[1].pointer == "/fields/2");
  BOOST_TEST(fault.errors[2].pointer == "/fields/4"); // of one job only
  BOOST_TEST(fault.errors[0].detail.starts_with("no such field: Id; there are id, queue, "));
  BOOST_TEST(read_fields("", job_fields(false)).index() == 1U);
  BOOST_TEST(read_fields(" id", job_fields(false)).index() == 1U);
  std::string many = "x";
  for (int i = 0; i < 100; ++i)
    many += ",x";
  BOOST_TEST(std::get<response>(read_fields(many, job_fields(false))).fault->errors.size() == 20U);
}

BOOST_AUTO_TEST_CASE(a_query_of_fields_holds_nothing_else) {
  const auto names = queue_fields();
  BOOST_TEST(read_fields_only("queue", "", names).index() == 0U);
  BOOST_TEST(read_fields_only("queue", "fields=name", names).index() == 0U);
  BOOST_TEST(read_fields_only("queue", "fields=name%2Crate", names).index() == 0U);
  for (const auto* wrong : {"fields", "fields=", "Fields=name", "fields=name&x=1",
                            "x=1&fields=name", "fields=name&fields=rate", "fields=%zz"})
    BOOST_TEST(read_fields_only("queue", wrong, names).index() == 1U, wrong);
}

BOOST_AUTO_TEST_CASE(a_page_has_the_members_that_were_asked_for_of_each) {
  const auto engine = std::make_shared<canned_engine>();
  services context;
  context.ask = engine;
  const server_limits limits;
  router table;
  add_job_routes(table, context, limits);
  auto matched = table.match(method::get, "/api/v1/jobs");
  request_view request;
  request.query = "limit=2&fields=state,id";
  std::optional<response> answer;
  std::get<route_match>(matched).found->handle(request, [&](response r) { answer = std::move(r); });
  BOOST_REQUIRE(answer);
  const auto page = json::parse(answer->body);
  BOOST_TEST(
      page["jobs"]
      == json::parse(R"([{"id":"17","state":"available"},{"id":"16","state":"available"}])"));
  BOOST_TEST(page["next"].is_string());
}
