// A job's `unique` member: read whole, or refused with a pointer to the field at fault.
#include "http/json.hpp"
#include "http/json_unique.hpp"

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

const std::set<std::string> kinds = {"echo"};

std::variant<job_spec, problem> read(std::string_view body) {
  return read_job(body, {kinds, {}});
}

job_spec accepted(std::string_view body) {
  auto result = read(body);
  if (auto* fault = std::get_if<problem>(&result))
    BOOST_FAIL("refused: " + fault->detail);
  return std::get<job_spec>(result);
}

struct bad_job {
  const char* pointer;
  std::string body;
};
std::ostream& operator<<(std::ostream& out, const bad_job& bad) {
  return out << bad.body;
}

std::string with(const std::string& member) {
  return R"({"kind":"echo",)" + member + "}";
}

const std::vector<bad_job> bad_jobs = {
    {"/unique", with(R"("unique":true)")},
    {"/unique", with(R"("unique":null)")},
    {"/unique/by_args", with(R"("unique":{"by_args":true})")},
    {"/unique/queue", with(R"("unique":{"queue":"default"})")},
    {"/unique/args", with(R"("unique":{"args":1})")},
    {"/unique/args", with(R"("unique":{"args":null})")},
    {"/unique/args", with(R"("unique":{"args":[]})")},
    {"/unique/args", with(R"("unique":{"args":{"a":true}})")},
    {"/unique/args/1", with(R"("unique":{"args":["a",1]})")},
    {"/unique/args/0", with(R"("unique":{"args":[""]})")},
    {"/unique/args/0", with(R"("unique":{"args":[["a"]]})")},
    {"/unique/period_ms", with(R"("unique":{"period_ms":0})")},
    {"/unique/period_ms", with(R"("unique":{"period_ms":1.5})")},
    {"/unique/period_ms", with(R"("unique":{"period_ms":315360000001})")},
    {"/unique/states", with(R"("unique":{"states":[]})")},
    {"/unique/states", with(R"("unique":{"states":"running"})")},
    {"/unique/states/1", with(R"("unique":{"states":["running","done"]})")},
    {"/unique/on_conflict", with(R"("unique":{"on_conflict":"ignore"})")},
    {"/unique/on_conflict", with(R"("unique":{"on_conflict":null})")},
};

} // namespace

BOOST_DATA_TEST_CASE(a_wrong_rule_is_refused_at_the_field_at_fault, data::make(bad_jobs), bad) {
  const auto result = read(bad.body);
  BOOST_REQUIRE(std::holds_alternative<problem>(result));
  const auto& fault = std::get<problem>(result);
  BOOST_TEST(fault.status == 400);
  BOOST_REQUIRE(fault.errors.size() == 1U);
  BOOST_TEST(fault.errors.front().pointer == bad.pointer);
}

BOOST_AUTO_TEST_CASE(a_unique_rule_is_read_member_by_member) {
  BOOST_TEST(!accepted(R"({"kind":"echo"})").unique.has_value());
  const auto plain = accepted(with(R"("unique":{})")).unique.value();
  BOOST_TEST((!plain.queue && !plain.args && plain.fields.empty() && !plain.period));
  BOOST_TEST((plain.conflict == on_conflict::reject));
  const auto full = accepted(with(R"("args":{"a":1},"unique":{"queue":true,"args":["a","b\"c"],)"
                                  R"("period_ms":60000,"states":["running","completed"],)"
                                  R"("on_conflict":"replace"})"))
                        .unique.value();
  BOOST_TEST(full.queue);
  BOOST_TEST(!full.args);
  BOOST_TEST((full.fields == std::vector<std::string>{"a", "b\"c"}));
  BOOST_TEST((full.period == std::optional{std::chrono::milliseconds{60'000}}));
  BOOST_TEST((full.states == std::vector{job_state::running, job_state::completed}));
  BOOST_TEST((full.conflict == on_conflict::replace));
  BOOST_TEST(accepted(with(R"("unique":{"args":true})")).unique->args);
}
