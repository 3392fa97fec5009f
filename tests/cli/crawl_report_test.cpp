// What a crawl is asked for, and what is said of it afterwards.
#include "cli/crawl_report.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <string>

using namespace troupe;
using namespace troupe::cli;

namespace {
crawl_summary some() {
  crawl_summary s;
  s.job = {12};
  s.url = "http://example.org/";
  s.pages = 10;
  s.items = 10;
  s.failed = 3;
  s.bytes = 4096;
  s.seconds = 0.5;
  s.rate = 20;
  s.failures = {{"HTTP 404", 2}, {"timeout", 1}};
  return s;
}
} // namespace

BOOST_AUTO_TEST_CASE(failures_of_one_kind_are_counted_together) {
  std::map<std::string, std::int64_t> reasons;
  for (const char* error :
       {"HTTP 404", "connect: Failed to connect to a port 1", "connect: Failed to connect to b",
        "HTTP 404", "HTTP 301: leads to http://elsewhere/", ""})
    count_failure(reasons, error);
  BOOST_TEST(reasons.size() == 4);
  BOOST_TEST(reasons["HTTP 404"] == 2);
  BOOST_TEST(reasons["connect"] == 2);
  BOOST_TEST(reasons["HTTP 301"] == 1);
  BOOST_TEST(reasons["no reason given"] == 1);
}

BOOST_AUTO_TEST_CASE(the_number_of_reasons_is_bounded) {
  std::map<std::string, std::int64_t> reasons;
  for (int i = 0; i < 200; ++i)
    count_failure(reasons, "reason " + std::to_string(i));
  BOOST_TEST(reasons.size() == most_reasons + 1);
  BOOST_TEST(reasons["other reasons"] == 200 - static_cast<int>(most_reasons));
}

BOOST_AUTO_TEST_CASE(the_json_summary_has_the_promised_members) {
  const auto json = nlohmann::json::parse(summary_json(some()));
  BOOST_TEST(json["job"] == "12");
  BOOST_TEST(json["pages"] == 10);
  BOOST_TEST(json["items"] == 10);
  BOOST_TEST(json["failed"] == 3);
  BOOST_TEST(json["bytes"] == 4096);
  BOOST_TEST(json["seconds"] == 0.5);
  BOOST_TEST(json["pages_per_second"] == 20.0);
  BOOST_TEST(json["failures"]["HTTP 404"] == 2);
}

BOOST_AUTO_TEST_CASE(the_text_summary_lists_the_commonest_failure_first) {
  const auto text = summary_text(some());
  BOOST_TEST(text.find("crawl 12 of http://example.org/\n") == 0);
  BOOST_TEST(text.find("HTTP 404") < text.find("timeout"));
  BOOST_TEST(text.find("pages/s") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_failure_text_cannot_drive_the_terminal) {
  auto s = some();
  s.failures = {{"\x1b[2Jgone", 1}};
  BOOST_TEST(summary_text(s).find('\x1b') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(args_name_only_what_was_asked_for) {
  scrape_settings settings;
  settings.url = "http://h/";
  BOOST_TEST(scrape_args(settings) == R"({"url":"http://h/"})");
  settings.max_pages = 5;
  settings.selectors = {{"t", "//h1"}};
  BOOST_TEST(same_args(
      scrape_args(settings),
      R"({"url": "http://h/", "selectors": [{"xpath": "//h1", "name": "t"}], "max_pages": 5})"));
}

BOOST_AUTO_TEST_CASE(other_options_are_another_crawl) {
  BOOST_TEST(same_args(R"({"url":"a","max_pages":5})", R"({"max_pages": 5, "url": "a"})"));
  BOOST_TEST(!same_args(R"({"url":"a","max_pages":5})", R"({"url":"a","max_pages":6})"));
  BOOST_TEST(!same_args(R"({"url":"a"})", R"({"url":"b"})"));
  BOOST_TEST(!same_args("nonsense", "nonsense"));
}

BOOST_AUTO_TEST_CASE(the_export_format_follows_the_files_ending) {
  BOOST_TEST(export_args({7}, "a.csv") == R"({"crawl":"7","format":"csv","what":"items"})");
  BOOST_TEST(export_args({7}, "a.ndjson") == R"({"crawl":"7","format":"ndjson","what":"items"})");
}

BOOST_AUTO_TEST_CASE(only_web_addresses_are_crawled) {
  BOOST_TEST(url_fault("https://example.org/a?b=c").empty());
  for (const char* bad : {"", "example.org", "file:///etc/passwd", "ftp://h/", "http://"})
    BOOST_TEST(!url_fault(bad).empty(), bad);
}
