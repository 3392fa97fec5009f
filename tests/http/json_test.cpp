// Jobs from JSON with a pointer to each fault, and jobs to JSON.
#include "http/json.hpp"
#include "http/time_format.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <ostream>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::http;
namespace data = boost::unit_test::data;

namespace {

const std::set<std::string> kinds = {"echo", "noop"};
const auto now = *parse_time("2026-11-23T09:00:00Z");

std::variant<job_spec, problem> read(std::string_view body) {
  return read_job(body, {kinds, now});
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
  return out << bad.body.substr(0, 80);
}

std::string with(const std::string& member) {
  return R"({"kind":"echo",)" + member + "}";
}

const std::vector<bad_job> bad_jobs = {
    {"", "[]"},
    {"", "17"},
    {"", "null"},
    {"", "\"echo\""},
    {"/kind", "{}"},
    {"/kind", R"({"kind":null})"},
    {"/kind", R"({"kind":17})"},
    {"/kind", R"({"kind":""})"},
    {"/kind", R"({"kind":"no such"})"},
    {"/kind", R"({"kind":"unknown"})"},
    {"/kind", R"({"kind":")" + std::string(129, 'a') + "\"}"},
    {"/queue", with(R"("queue":"")")},
    {"/queue", with(R"("queue":null)")},
    {"/queue", with(R"("queue":"a/b")")},
    {"/queue", with(R"("queue":"\u00e4")")},
    {"/queue", with(R"("queue":["a"])")},
    {"/queue", with(R"("queue":"a\u0000b")")},
    {"/priority", with(R"("priority":-1)")},
    {"/priority", with(R"("priority":10)")},
    {"/priority", with(R"("priority":1.0)")},
    {"/priority", with(R"("priority":"1")")},
    {"/priority", with(R"("priority":true)")},
    {"/priority", with(R"("priority":null)")},
    {"/priority", with(R"("priority":4294967297)")},
    {"/priority", with(R"("priority":18446744073709551617)")},
    {"/priority", with(R"("priority":1e300)")},
    {"/priority", with(R"("priority":1e400)")},
    {"/max_attempts", with(R"("max_attempts":0)")},
    {"/max_attempts", with(R"("max_attempts":1001)")},
    {"/timeout_ms", with(R"("timeout_ms":0)")},
    {"/timeout_ms", with(R"("timeout_ms":-5)")},
    {"/timeout_ms", with(R"("timeout_ms":604800001)")},
    {"/timeout_ms", with(R"("timeout_ms":"30s")")},
    {"/delay_ms", with(R"("delay_ms":-1)")},
    {"/delay_ms", with(R"("delay_ms":9223372036854775807)")},
    {"/delay_ms", with(R"("delay_ms":1,"run_at":"2026-11-24T00:00:00Z")")},
    {"/run_at", with(R"("run_at":"tomorrow")")},
    {"/run_at", with(R"("run_at":1767225600)")},
    {"/run_at", with(R"("run_at":"9999-01-01T00:00:00Z")")},
    {"/run_at", with(R"("run_at":"0001-01-01T00:00:00Z")")},
    {"/tags", with(R"("tags":"a")")},
    {"/tags", with(R"("tags":{})")},
    {"/tags/0", with(R"("tags":[""])")},
    {"/tags/1", with(R"("tags":["a",1])")},
    {"/tags/0", with(R"("tags":[["a"]])")},
    {"/tags/0", with(R"("tags":[")" + std::string(256, 'a') + "\"]")},
    {"/limit_key", with(R"("limit_key":"")")},
    {"/limit_key", with(R"("limit_key":7)")},
    {"/limit_key", with(R"("limit_key":")" + std::string(129, 'a') + "\"")},
    {"/id", with(R"("id":"17")")},
    {"/state", with(R"("state":"completed")")},
    {"/a~1b", with(R"("a/b":1)")},
    {"/kind", R"({"kind":"echo","kind":"noop"})"},
    {"/args/x", with(R"("args":{"x":1,"x":2})")},
};

} // namespace

BOOST_DATA_TEST_CASE(a_bad_job_is_refused_at_the_field_at_fault, data::make(bad_jobs), bad) {
  const auto result = read(bad.body);
  BOOST_REQUIRE(std::holds_alternative<problem>(result));
  const auto& fault = std::get<problem>(result);
  BOOST_TEST(fault.status == 400);
  BOOST_TEST(fault.code == "invalid_argument");
  BOOST_REQUIRE(fault.errors.size() == 1U);
  BOOST_TEST(fault.errors.front().pointer == bad.pointer);
  BOOST_TEST(!fault.detail.empty());
}

BOOST_AUTO_TEST_CASE(a_job_needs_a_kind_and_has_defaults_for_the_rest) {
  const auto spec = accepted(R"({"kind":"echo"})");
  BOOST_TEST(spec.kind == "echo");
  BOOST_TEST(spec.queue == "default");
  BOOST_TEST(spec.args == "{}");
  BOOST_TEST(spec.priority == 0);
  BOOST_TEST(spec.max_attempts == 20);
  BOOST_TEST(!spec.timeout);
  BOOST_TEST(!spec.run_at);
  BOOST_TEST(!spec.delay);
}

BOOST_AUTO_TEST_CASE(every_field_is_read) {
  const auto spec = accepted(
      R"({"kind":"noop","queue":"q:1","args":[1.10],"priority":9,"max_attempts":1000,
        "timeout_ms":604800000,"tags":["a","\u00e4"],"run_at":"2026-11-24T01:00:00+01:00"})");
  BOOST_TEST(spec.queue == "q:1");
  BOOST_TEST(spec.args == "[1.10]");
  BOOST_TEST(spec.priority == 9);
  BOOST_TEST(spec.max_attempts == 1000);
  BOOST_TEST(spec.timeout->count() == 604'800'000);
  BOOST_TEST(spec.tags == (std::vector<std::string>{"a", "\xC3\xA4"}),
             boost::test_tools::per_element());
  BOOST_TEST(format_time(*spec.run_at) == "2026-11-24T00:00:00Z");
  BOOST_TEST(accepted(R"({"kind":"noop","delay_ms":0})").delay->count() == 0);
  BOOST_TEST(!accepted(R"({"kind":"noop","timeout_ms":null})").timeout);
  BOOST_TEST(accepted(R"({"kind":"noop","limit_key":"acme"})").limit_key == "acme");
  BOOST_TEST(accepted(R"({"kind":"noop","limit_key":null})").limit_key.empty());
  BOOST_TEST(!accepted(R"({"kind":"noop","retry":null})").retry);
}

BOOST_AUTO_TEST_CASE(an_unknown_kind_is_answered_with_the_known_ones) {
  const auto fault = std::get<problem>(read(R"({"kind":"ecko"})"));
  BOOST_TEST(fault.detail == "/kind: no such kind: ecko; known: echo, noop");
}

BOOST_AUTO_TEST_CASE(all_faults_of_a_job_are_told_at_once) {
  const auto fault = std::get<problem>(read(R"({"queue":"","priority":11,"x":1})"));
  BOOST_REQUIRE(fault.errors.size() == 4U);
  BOOST_TEST(fault.errors[0].pointer == "/kind");
  BOOST_TEST(fault.errors[3].pointer == "/x");
}

BOOST_AUTO_TEST_CASE(args_are_limited_to_one_mebibyte_and_64_levels) {
  const auto text = [](std::size_t size) {
    return with("\"args\":\"" + std::string(size - 2, 'x') + "\"");
  };
  BOOST_TEST(accepted(text(limits::args_bytes)).args.size() == limits::args_bytes);
  const auto fault = std::get<problem>(read(text(limits::args_bytes + 1)));
  BOOST_TEST(fault.errors.front().pointer == "/args");
  const auto deep = [](std::size_t depth) {
    return with("\"args\":" + std::string(depth, '[') + std::string(depth, ']'));
  };
  BOOST_TEST(accepted(deep(64)).args.size() == 128U);
  BOOST_TEST(std::get<problem>(read(deep(65))).status == 400);
}

BOOST_AUTO_TEST_CASE(bulk_faults_carry_the_index_of_the_job) {
  const auto pointer = [](std::string_view body) {
    const auto result = read_jobs(body, {kinds, now});
    const auto* fault = std::get_if<problem>(&result);
    return fault != nullptr ? fault->errors.front().pointer : "ACCEPTED";
  };
  const std::string good = R"({"kind":"echo"})";
  BOOST_TEST(pointer("{\"jobs\":[" + good + "]}") == "ACCEPTED");
  BOOST_TEST(pointer("{\"jobs\":[" + good + "," + good + R"(,{"kind":"x"}]})") == "/jobs/2/kind");
  BOOST_TEST(pointer("{\"jobs\":[" + good + ",17]}") == "/jobs/1");
  BOOST_TEST(pointer(R"({"jobs":[{"kind":"echo","tags":["a",2]}]})") == "/jobs/0/tags/1");
  BOOST_TEST(pointer(R"({"jobs":[{"kind":"echo","args":{"a":"\u0000"}}]})") == "/jobs/0/args/a");
  BOOST_TEST(pointer(R"({"jobs":[]})") == "/jobs");
  BOOST_TEST(pointer(R"({"jobs":{}})") == "/jobs");
  BOOST_TEST(pointer("{}") == "/jobs");
  BOOST_TEST(pointer("[]") == "");
  BOOST_TEST(pointer("{\"jobs\":[" + good + "],\"atomic\":true}") == "/atomic");
}

BOOST_AUTO_TEST_CASE(a_bulk_request_takes_10000_jobs_and_no_more) {
  const auto jobs = [](std::size_t count) {
    std::string out = "{\"jobs\":[";
    for (std::size_t i = 0; i < count; ++i)
      out += (i == 0 ? "" : ",") + std::string{R"({"kind":"echo","args":{"n":)"} + std::to_string(i)
             + R"(},"tags":["a","b"]})";
    return out + "]}";
  };
  const auto most = read_jobs(jobs(limits::bulk_jobs), {kinds, now});
  BOOST_REQUIRE(std::holds_alternative<std::vector<job_spec>>(most));
  BOOST_TEST(std::get<std::vector<job_spec>>(most).back().args == R"({"n":9999})");
  const auto more = read_jobs(jobs(limits::bulk_jobs + 1), {kinds, now});
  BOOST_TEST(std::get<problem>(more).errors.front().pointer == "/jobs");
}

BOOST_AUTO_TEST_CASE(a_job_is_written_as_documented) {
  job_record job;
  job.id = {17};
  job.queue = "default";
  job.kind = "echo";
  job.state = job_state::completed;
  job.args = R"({"n": 18446744073709551616})";
  job.attempt = 1;
  job.run_at = job.created_at = now;
  attempt_record attempt;
  attempt.ended = outcome::completed;
  attempt.node = "n1";
  attempt.started_at = now;
  attempt.finished_at = now + std::chrono::milliseconds{5};
  attempt.result = R"({"a":1.10})";
  job.attempts = {attempt};
  std::string out;
  append_job(out, job, true);
  BOOST_TEST(out
             == R"({"id":"17","queue":"default","kind":"echo","priority":0,"state":"completed",)"
                R"("args":{"n": 18446744073709551616},"attempt":1,"max_attempts":20,)"
                R"("timeout_ms":null,"tags":[],"limit_key":null,"run_at":"2026-11-23T09:00:00Z",)"
                R"("created_at":"2026-11-23T09:00:00Z","progress":null,"attempts":[{"attempt":1,)"
                R"("outcome":"completed","node":"n1","started_at":"2026-11-23T09:00:00Z",)"
                R"("finished_at":"2026-11-23T09:00:00.005Z","result":{"a":1.10},"error":null}]})");
}

BOOST_AUTO_TEST_CASE(a_running_attempt_and_hostile_texts_are_written_as_json) {
  job_record job;
  job.id = {1};
  job.tags = {"</script>\"", "\xff"};
  job.limit_key = "a\"b";
  attempt_record running;
  attempt_record lost;
  lost.ended = outcome::lost;
  lost.error = "line\nbreak";
  job.attempts = {lost, running};
  std::string out;
  append_job(out, job, true);
  const auto read_back = nlohmann::json::parse(out);
  BOOST_TEST(read_back["tags"][0] == "</script>\"");
  BOOST_TEST(read_back["limit_key"] == "a\"b");
  BOOST_TEST(read_back["attempts"][0]["error"] == "line\nbreak");
  BOOST_TEST(read_back["attempts"][0]["outcome"] == "lost");
  BOOST_TEST(read_back["attempts"][1]["outcome"].is_null());
  BOOST_TEST(read_back["attempts"][1]["node"].is_null());
  BOOST_TEST(read_back["attempts"][1]["result"].is_null());
}

BOOST_AUTO_TEST_CASE(progress_is_written_with_what_is_known_of_it) {
  job_record job;
  const auto written = [&](std::optional<double> percent, const char* message) {
    job.progress = {percent, message, 2, now};
    std::string out;
    append_job(out, job, true);
    return nlohmann::json::parse(out)["progress"].dump();
  };
  BOOST_TEST(written(12.5, "a \"b\"")
             == R"({"attempt":2,"message":"a \"b\"","percent":12.5,)"
                R"("updated_at":"2026-11-23T09:00:00Z"})");
  BOOST_TEST(written(std::nullopt, "")
             == R"({"attempt":2,"message":null,"percent":null,)"
                R"("updated_at":"2026-11-23T09:00:00Z"})");
  BOOST_TEST(written(100.0 / 3, "").find("33.3333") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_log_is_written_line_by_line) {
  log_page page;
  BOOST_TEST(log_json(page) == R"({"lines":[],"next":null})");
  page.lines = {{7, now, 1, line_level::info, "a"}, {9, now, 2, line_level::error, "b\n"}};
  page.next = 9;
  BOOST_TEST(log_json(page)
             == R"({"lines":[{"number":"7","at":"2026-11-23T09:00:00Z","attempt":1,"level":"info",)"
                R"("text":"a"},{"number":"9","at":"2026-11-23T09:00:00Z","attempt":2,)"
                R"("level":"error","text":"b\n"}],"next":"9"})");
}

BOOST_AUTO_TEST_CASE(a_new_job_is_scheduled_when_its_time_is_yet_to_come) {
  job_spec spec;
  spec.kind = "echo";
  BOOST_TEST((new_job(spec, {1}, now).state == job_state::available));
  BOOST_TEST((new_job(spec, {1}, now).run_at == now));
  spec.delay = std::chrono::seconds{1};
  BOOST_TEST((new_job(spec, {1}, now).state == job_state::scheduled));
  BOOST_TEST((new_job(spec, {1}, now).run_at == now + std::chrono::seconds{1}));
  spec.delay.reset();
  spec.run_at = now - std::chrono::hours{1};
  BOOST_TEST((new_job(spec, {1}, now).state == job_state::available));
}

BOOST_AUTO_TEST_CASE(cancel_and_retry_take_an_empty_document) {
  for (const auto* body : {"", " \r\n", "{}", " { } "})
    BOOST_TEST(!refuse_content(body), body);
  for (const auto* body : {"[]", "null", "{\"a\":1}"})
    BOOST_TEST(refuse_content(body).value().detail == "this request takes no body or {}", body);
  for (const auto* body : {"{", "x"})
    BOOST_TEST(refuse_content(body).value().detail.starts_with("not JSON: "), body);
}
