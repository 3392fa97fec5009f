// Heads of responses, problem+json, errc to status, and times as text.
#include "http/message.hpp"
#include "http/time_format.hpp"
#include "tests/support/says.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace troupe;
using namespace troupe::http;
using troupe::tests::says;
using namespace std::chrono;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

timestamp at(year_month_day date, microseconds of_day) {
  return timestamp{sys_days{date}} + of_day;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_head_names_length_type_and_request) {
  std::string out;
  auto answer = json_response(201, "{}");
  answer.location = "/api/v1/jobs/1";
  append_head(out, answer, {"Sun, 06 Nov 1994 08:49:37 GMT", "id-1", true, 11});
  BOOST_TEST(out
             == "HTTP/1.1 201 Created\r\nServer: troupe\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                "Content-Type: application/json\r\nContent-Length: 2\r\n"
                "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                "X-Request-Id: id-1\r\nLocation: /api/v1/jobs/1\r\n\r\n");
}

BOOST_AUTO_TEST_CASE(what_has_a_tag_may_be_kept_unless_it_tells_more) {
  const auto head_of = [](bool tagged, bool keep) {
    std::string out;
    auto answer = json_response(200, "{}");
    answer.etag = tagged ? "\"1\"" : "";
    answer.keep = keep;
    append_head(out, answer, {"x", "y", true, 11});
    return out;
  };
  BOOST_TEST(says(head_of(true, true), "\r\nCache-Control: no-cache\r\n"));
  BOOST_TEST(says(head_of(true, false), "\r\nCache-Control: no-store\r\n"));
  BOOST_TEST(says(head_of(true, false), "\r\nETag: \"1\"\r\n"));
  BOOST_TEST(says(head_of(false, true), "\r\nCache-Control: no-store\r\n"));
}

BOOST_AUTO_TEST_CASE(no_content_has_neither_type_nor_length) {
  std::string out;
  response answer;
  answer.status = 204;
  append_head(out, answer, {"x", "y", false, 11});
  BOOST_TEST(out.find("Content-") == out.find("Content-Type-Options"));
  BOOST_TEST(out.find("Content-Length") == std::string::npos);
  BOOST_TEST(out.find("Connection: close\r\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_has_two_forms_varies_also_when_it_is_known) {
  for (const int status : {200, 304}) {
    std::string out;
    response answer;
    answer.status = status;
    answer.varies = true;
    append_head(out, answer, {"x", "y", true, 11});
    BOOST_TEST(out.find("Vary: Accept-Encoding\r\n") != std::string::npos, status);
  }
}

BOOST_AUTO_TEST_CASE(a_problem_is_rfc_9457_with_pointers) {
  const auto fault = invalid_fields({{"/kind", "is \"bad\""}, {"/tags/0", "x"}});
  BOOST_TEST(to_json(fault, "Bad Request", "/api/v1/jobs", "r1")
             == R"({"type":"urn:troupe:problem:invalid_argument","title":"Bad Request",)"
                R"("status":400,"detail":"/kind: is \"bad\"","instance":"/api/v1/jobs",)"
                R"("code":"invalid_argument","request_id":"r1","retryable":false,)"
                R"("errors":[{"pointer":"/kind","detail":"is \"bad\""},)"
                R"({"pointer":"/tags/0","detail":"x"}]})");
}

BOOST_AUTO_TEST_CASE(every_errc_has_its_status) {
  const auto status = [](errc code) { return to_problem({code, "why"}).status; };
  BOOST_TEST(status(errc::not_found) == 404);
  BOOST_TEST(status(errc::conflict) == 409);
  BOOST_TEST(status(errc::fenced) == 409);
  BOOST_TEST(status(errc::invalid_argument) == 400);
  for (const auto code : {errc::overloaded, errc::unavailable, errc::timed_out, errc::retry,
                          errc::stopping, errc::outcome_unknown})
    BOOST_TEST(status(code) == 503);
  BOOST_TEST(status(errc::database) == 500);
  BOOST_TEST(status(errc::internal) == 500);
  BOOST_TEST(to_problem({errc::overloaded, ""}).retry_after == 1);
  BOOST_TEST(to_problem({errc::overloaded, ""}).retryable);
  BOOST_TEST(!to_problem({errc::outcome_unknown, ""}).retryable);
  BOOST_TEST(to_problem({errc::outcome_unknown, ""}).retry_after == 0);
}

BOOST_AUTO_TEST_CASE(json_strings_are_escaped_and_always_utf8) {
  BOOST_TEST(quoted("a\"b\\c\n\r\t\x01\x7f/") == R"("a\"b\\c\n\r\t\u0001\u007f/")");
  BOOST_TEST(quoted("\xC3\xA4\xF0\x9F\x98\x80") == "\"\xC3\xA4\xF0\x9F\x98\x80\"");
  const std::string replacement = "\xEF\xBF\xBD";
  BOOST_TEST(quoted("a\xff"
                    "b")
             == "\"a" + replacement + "b\"");
  BOOST_TEST(quoted("\xC0\xAF") == "\"" + replacement + replacement + "\"");
  BOOST_TEST(quoted("\xED\xA0\x80") == "\"" + replacement + replacement + replacement + "\"");
  BOOST_TEST(quoted("\xE2\x82") == "\"" + replacement + replacement + "\"");
  BOOST_TEST(quoted(std::string_view{"\0", 1}) == R"("\u0000")");
}

BOOST_AUTO_TEST_CASE(a_request_id_is_echoed_only_when_harmless) {
  BOOST_TEST(is_sane_request_id("0af7651916cd43dd-1"));
  for (const auto& id : {std::string{}, std::string{"a b"}, std::string{"a\x1b[0m"},
                         std::string{"\"<script>"}, std::string(129, 'a')})
    BOOST_TEST(!is_sane_request_id(id));
}

BOOST_AUTO_TEST_CASE(times_are_written_in_utc_without_trailing_zeros) {
  const auto day = 2026y / November / 23;
  BOOST_TEST(format_time(at(day, 8h + 55min + 11s)) == "2026-11-23T08:55:11Z");
  BOOST_TEST(format_time(at(day, 500ms)) == "2026-11-23T00:00:00.5Z");
  BOOST_TEST(format_time(at(day, 1us)) == "2026-11-23T00:00:00.000001Z");
  BOOST_TEST(format_time(at(1969y / December / 31, 24h - 1us)) == "1969-12-31T23:59:59.999999Z");
  BOOST_TEST(format_time(timestamp::max()) == "9999-12-31T23:59:59.999999Z");
}

BOOST_AUTO_TEST_CASE(times_are_read_with_any_offset) {
  const auto same = [](std::string_view text, std::string_view utc) {
    const auto time = parse_time(text);
    BOOST_TEST_CONTEXT(text) {
      BOOST_REQUIRE(time);
      BOOST_TEST(format_time(*time) == utc);
    }
  };
  same("2026-11-23T08:55:11Z", "2026-11-23T08:55:11Z");
  same("2026-11-23t08:55:11.5z", "2026-11-23T08:55:11.5Z");
  same("2026-11-23 08:55:11.123456789Z", "2026-11-23T08:55:11.123456Z");
  same("2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00Z");
  same("2026-11-23T08:55:11-05:30", "2026-11-23T14:25:11Z");
  same("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
  same("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
}

BOOST_AUTO_TEST_CASE(what_is_no_time_is_refused) {
  for (const auto* text : {"",
                           "now",
                           "2026-11-23",
                           "2026-11-23T08:55:11",
                           "2026-13-01T00:00:00Z",
                           "2026-02-29T00:00:00Z",
                           "2026-00-10T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-01-01T24:00:00Z",
                           "2026-01-01T00:60:00Z",
                           "2026-01-01T00:00:61Z",
                           "2026-01-01T00:00:00.Z",
                           "2026-01-01T00:00:00.1234567890Z",
                           "2026-01-01T00:00:00+24:00",
                           "2026-01-01T00:00:00+0100",
                           "2026-01-01T00:00:00Zx",
                           "+026-01-01T00:00:00Z",
                           "-026-01-01T00:00:00Z",
                           "20260101T000000Z",
                           "1767225600"})
    BOOST_TEST(!parse_time(text), text);
}

BOOST_AUTO_TEST_CASE(the_date_header_is_an_imf_fixdate) {
  BOOST_TEST(http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
}
