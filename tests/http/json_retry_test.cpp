// A job's `retry` member: read whole, or refused with a pointer to the field at fault.
#include "http/json.hpp"
#include "http/json_retry.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::http;
namespace data = boost::unit_test::data;

namespace {

const std::set<std::string> kinds = {"echo", "noop"};

std::variant<job_spec, problem> read(std::string_view body) {
  return read_job(body, {kinds, {}});
}

job_spec accepted(std::string_view body) {
  auto result = read(body);
  if (auto* fault = std::get_if<problem>(&result))
    BOOST_FAIL("refused: " + fault->detail);
  return std::get<job_spec>(result);
}

struct bad_policy {
  const char* pointer;
  std::string body;
};
std::ostream& operator<<(std::ostream& out, const bad_policy& bad) {
  return out << bad.body;
}

std::string with(const std::string& member) {
  return R"({"kind":"echo",)" + member + "}";
}

const std::vector<bad_policy> bad_policies = {
    {"/retry", with(R"("retry":"fixed")")},
    {"/retry/policy", with(R"("retry":{})")},
    {"/retry/policy", with(R"("retry":{"policy":"often"})")},
    {"/retry/delay_ms", with(R"("retry":{"policy":"fixed"})")},
    {"/retry/delay_ms", with(R"("retry":{"policy":"fixed","delay_ms":-1})")},
    {"/retry/delay_ms", with(R"("retry":{"policy":"fixed","delay_ms":315360000001})")},
    {"/retry/base_ms", with(R"("retry":{"policy":"fixed","delay_ms":1,"base_ms":1})")},
    {"/retry/base_ms", with(R"("retry":{"policy":"exponential","base_ms":"1s"})")},
    {"/retry/max_ms", with(R"("retry":{"policy":"exponential","base_ms":2,"max_ms":1})")},
    {"/retry/jitter_percent", with(R"("retry":{"policy":"exponential","jitter_percent":101})")},
    {"/retry/delays_ms", with(R"("retry":{"policy":"list"})")},
    {"/retry/delays_ms", with(R"("retry":{"policy":"list","delays_ms":[]})")},
    {"/retry/delays_ms/1", with(R"("retry":{"policy":"list","delays_ms":[1,1.5]})")},
    {"/retry/delay_ms", with(R"("retry":{"policy":"none","delay_ms":1})")},
};

} // namespace

BOOST_DATA_TEST_CASE(a_bad_policy_is_refused_at_the_field_at_fault, data::make(bad_policies), bad) {
  const auto result = read(bad.body);
  BOOST_REQUIRE(std::holds_alternative<problem>(result));
  const auto& fault = std::get<problem>(result);
  BOOST_TEST(fault.status == 400);
  BOOST_REQUIRE(fault.errors.size() == 1U);
  BOOST_TEST(fault.errors.front().pointer == bad.pointer);
  BOOST_TEST(!fault.detail.empty());
}

BOOST_AUTO_TEST_CASE(in_a_bulk_request_the_pointer_names_the_job) {
  const auto result = read_jobs(
      R"({"jobs":[{"kind":"echo"},{"kind":"echo","retry":{"policy":"fixed"}}]})", {kinds, {}});
  BOOST_REQUIRE(std::holds_alternative<problem>(result));
  BOOST_TEST(std::get<problem>(result).errors.front().pointer == "/jobs/1/retry/delay_ms");
}

BOOST_AUTO_TEST_CASE(every_retry_policy_is_read_and_written_as_it_was) {
  using namespace std::chrono_literals;
  const std::vector<std::pair<std::string, retry_policy>> policies{
      {R"({"policy":"exponential","base_ms":1000,"max_ms":21600000,"jitter_percent":25})",
       retry_policy{}},
      {R"({"policy":"exponential","base_ms":5,"max_ms":50,"jitter_percent":0})",
       retry_policy::exponential({5ms, 50ms, 0})},
      {R"({"policy":"fixed","delay_ms":5000})", retry_policy::fixed(5s)},
      {R"({"policy":"list","delays_ms":[0,1000]})", retry_policy::list({0s, 1s})},
      {R"({"policy":"none"})", retry_policy::none()}};
  for (const auto& [text, policy] : policies) {
    const auto spec = accepted(R"({"kind":"noop","retry":)" + text + "}");
    BOOST_TEST((spec.retry == policy), text);
    std::string out;
    append_job(out, new_job(spec, job_id{1}, timestamp{}), true);
    BOOST_TEST(out.find(",\"retry\":" + text) != std::string::npos, out);
  }
  const auto half = accepted(R"({"kind":"noop","retry":{"policy":"exponential","base_ms":7}})");
  BOOST_TEST((half.retry == retry_policy::exponential({7ms, 6h})));
  // A job of many values has room for the longest of lists.
  std::string delays = "1", tags = "\"t\"";
  for (std::size_t i = 1; i < limits::retry_pauses; ++i)
    delays += ",1";
  for (std::size_t i = 1; i < limits::tags; ++i)
    tags += ",\"t\"";
  const auto full = accepted(R"({"kind":"noop","tags":[)" + tags
                             + R"(],"retry":{"policy":"list","delays_ms":[)" + delays + "]}}");
  BOOST_TEST((full.retry == retry_policy::list(retry_policy::pauses(limits::retry_pauses, 1ms))));
}
