// Spans as OTLP's JSON wants them, read back as JSON; and what a collector's answers mean.
#include "launcher/span_encoding.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <limits>

using namespace troupe;
using namespace std::chrono_literals;
using nlohmann::json;
using verdict = export_answer::verdict;

namespace {

const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";

span request_span() {
  span out;
  out.self = {trace, "00f067aa0ba902b7", 1};
  out.name = "POST /api/v1/jobs";
  out.start = std::chrono::system_clock::time_point{1'700'000'000'123'456'789ns};
  out.end = out.start + 1500us;
  out.attributes = {{"http.route", std::string{"/api/v1/jobs"}},
                    {"http.response.status_code", std::int64_t{201}}};
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_request_and_a_run_are_what_otlp_defines) {
  auto run = request_span();
  run.self.span_id = "b7ad6b7169203331";
  run.parent = "00f067aa0ba902b7";
  run.name = "run mail";
  run.kind = span_kind::consumer;
  run.failed = true;
  run.failure = "no \"such\" box";
  run.attributes = {{"troupe.job.id", std::numeric_limits<std::int64_t>::max()}};
  const auto read = json::parse(to_otlp({request_span(), run}, {"shop", "node-1", "0.1.0"}));
  const auto wanted = json::parse(R"({"resourceSpans": [{
    "resource": {"attributes": [
      {"key": "service.name", "value": {"stringValue": "shop"}},
      {"key": "service.instance.id", "value": {"stringValue": "node-1"}},
      {"key": "service.version", "value": {"stringValue": "0.1.0"}}]},
    "scopeSpans": [{"scope": {"name": "troupe", "version": "0.1.0"}, "spans": [
      {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7",
       "name": "POST /api/v1/jobs", "kind": 2, "flags": 1,
       "startTimeUnixNano": "1700000000123456789", "endTimeUnixNano": "1700000000124956789",
       "attributes": [{"key": "http.route", "value": {"stringValue": "/api/v1/jobs"}},
                      {"key": "http.response.status_code", "value": {"intValue": "201"}}]},
      {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "b7ad6b7169203331",
       "parentSpanId": "00f067aa0ba902b7",
       "name": "run mail", "kind": 5, "flags": 769,
       "startTimeUnixNano": "1700000000123456789", "endTimeUnixNano": "1700000000124956789",
       "attributes": [{"key": "troupe.job.id", "value": {"intValue": "9223372036854775807"}}],
       "status": {"code": 2, "message": "no \"such\" box"}}]}]}]})");
  BOOST_TEST(read.dump(1) == wanted.dump(1));
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_text_do_not_break_a_batch) {
  auto odd = request_span();
  odd.failed = true;
  odd.failure = "\xff broken";
  const auto read = json::parse(to_otlp({odd}, {"shop", "node-1", "0.1.0"}));
  const auto& status = read["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"];
  BOOST_TEST(status["message"].get<std::string>() == "\xef\xbf\xbd broken");
}

BOOST_AUTO_TEST_CASE(texts_come_back_as_they_were_whatever_is_in_them) {
  for (const std::string text : {"", "a b", "\"", "back\\slash", "line\nfeed", "\x01\x1f\x7f",
                                 "\xc3\xa4\xf0\x9f\x98\x80", "},{"}) {
    auto odd = request_span();
    odd.name = text;
    odd.attributes = {{"troupe.job.kind", text}, {"n", std::int64_t{-1}}};
    odd.failed = true;
    odd.failure = text;
    const auto read = json::parse(to_otlp({odd, request_span()}, {text, text, text}));
    const auto& resource = read["resourceSpans"][0];
    BOOST_TEST(resource["resource"]["attributes"][0]["value"]["stringValue"] == text);
    BOOST_REQUIRE(resource["scopeSpans"][0]["spans"].size() == 2U);
    const auto& one = resource["scopeSpans"][0]["spans"][0];
    BOOST_TEST(one["name"] == text);
    BOOST_TEST(one["attributes"][0]["value"]["stringValue"] == text);
    BOOST_TEST(one["attributes"][1]["value"]["intValue"] == "-1");
    BOOST_TEST(one["status"].value("message", "") == text);
  }
  auto bare = request_span();
  bare.attributes.clear();
  const auto read = json::parse(to_otlp({bare}, {}));
  BOOST_TEST(read["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] == json::array());
}

BOOST_AUTO_TEST_CASE(an_endpoint_gets_the_path_of_traces_once) {
  BOOST_TEST(traces_url("http://c:4318") == "http://c:4318/v1/traces");
  BOOST_TEST(traces_url("http://c:4318/") == "http://c:4318/v1/traces");
  BOOST_TEST(traces_url("https://c/otlp") == "https://c/otlp/v1/traces");
  BOOST_TEST(traces_url("https://c/otlp/v1/traces") == "https://c/otlp/v1/traces");
  BOOST_TEST(traces_url("https://c/otlp/v1/traces/") == "https://c/otlp/v1/traces");
}

BOOST_AUTO_TEST_CASE(only_what_may_pass_is_tried_again) {
  for (const int status : {0, 429, 502, 503, 504})
    BOOST_TEST((judge_export(status, "", "").what == verdict::again), status);
  for (const int status : {301, 400, 401, 404, 413, 500, 501, 505})
    BOOST_TEST((judge_export(status, "", "5").what == verdict::refused), status);
  for (const int status : {200, 202, 204})
    BOOST_TEST((judge_export(status, "", "").what == verdict::taken), status);
}

BOOST_AUTO_TEST_CASE(retry_after_is_kept_to_within_a_minute) {
  const auto pause = [](std::string_view header) {
    return judge_export(503, "", header).retry_after;
  };
  BOOST_TEST((pause("0") == 0ms));
  BOOST_TEST((pause("7") == 7s));
  BOOST_TEST((pause("60") == 60s));
  BOOST_TEST((pause("61") == 60s));
  BOOST_TEST((pause("18446744073709551615") == 60s));
  for (const auto* none :
       {"", "-1", "soon", "7 ", "18446744073709551616", "Wed, 21 Oct 2026 07:28:00 GMT"})
    BOOST_TEST(!pause(none).has_value(), none);
  BOOST_TEST(!judge_export(400, "", "7").retry_after.has_value());
}

BOOST_AUTO_TEST_CASE(what_a_collector_left_out_of_a_batch_is_read) {
  const auto rejected = [](std::string_view body) { return judge_export(200, body, "").rejected; };
  BOOST_TEST(rejected(R"({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "old"}})") == 3);
  BOOST_TEST(rejected(R"({"partialSuccess": {"rejectedSpans": 2}})") == 2);
  for (const auto* none :
       {"", "{}", "[]", "not json", R"({"partialSuccess": null})", R"({"partialSuccess": {}})",
        R"({"partialSuccess": {"rejectedSpans": -1}})",
        R"({"partialSuccess": {"rejectedSpans": [], "errorMessage": 7}})"})
    BOOST_TEST(rejected(none) == 0, none);
}
