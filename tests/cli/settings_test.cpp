// Single option values.
#include "cli/settings.hpp"

#include <boost/test/unit_test.hpp>

#include <stdexcept>

using namespace troupe::cli;

BOOST_AUTO_TEST_CASE(loopback_is_told_from_the_rest) {
  BOOST_TEST(is_loopback(read_endpoint("localhost:1").host));
  BOOST_TEST(is_loopback(read_endpoint("127.1.2.3:1").host));
  BOOST_TEST(is_loopback(read_endpoint("[::1]:1").host));
  BOOST_TEST(!is_loopback(read_endpoint("10.0.0.1:1").host));
  BOOST_TEST(!is_loopback(read_endpoint("[::]:1").host));
}

BOOST_AUTO_TEST_CASE(only_addresses_with_a_port_are_endpoints) {
  const auto found = read_endpoint("[2001:db8::1]:65535");
  BOOST_TEST(found.host == "2001:db8::1");
  BOOST_TEST(found.port == 65'535);
  for (const char* bad : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536",
                          "127.0.0.1:8o", "::1:80", "[127.0.0.1]:80", "127.evil.example:1"})
    BOOST_CHECK_THROW(read_endpoint(bad), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_queue_may_have_colons_in_its_name) {
  BOOST_TEST(read_queue_slots("a:b:3").first == "a:b");
  BOOST_TEST(read_queue_slots("a:b:3").second == 3);
  BOOST_TEST(read_queue_slots("mail:0").second == 0);
  for (const char* bad : {"mail", "mail:", ":3", "mail:-1", "mail:10001", "a b:1", "mail:1x"})
    BOOST_CHECK_THROW(read_queue_slots(bad), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_selector_is_cut_at_its_first_equals_sign) {
  BOOST_TEST(read_selector("a=//x[@y='z']").name == "a");
  BOOST_TEST(read_selector("a=//x[@y='z']").xpath == "//x[@y='z']");
  for (const char* bad : {"", "a", "a=", "=//x"})
    BOOST_CHECK_THROW(read_selector(bad), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(an_id_is_digits_only_since_it_becomes_part_of_a_path) {
  BOOST_TEST(read_job_id("17") == "17");
  for (const char* bad : {"", "0", "017", "-1", "1/cancel", "../x", "1 ", "99999999999999999999"})
    BOOST_CHECK_THROW(read_job_id(bad), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(times_are_seconds_unless_they_name_a_unit) {
  for (const auto& [text, ms] :
       std::vector<std::pair<std::string, std::int64_t>>{{"3", 3000},
                                                         {"1.5", 1500},
                                                         {"250ms", 250},
                                                         {"3s", 3000},
                                                         {"5min", 300'000},
                                                         {"1h", 3'600'000},
                                                         {"7d", 604'800'000},
                                                         {"0", 0}})
    BOOST_TEST(read_duration(text).count() == ms, text);
  for (const auto* text : {"", "s", "3m", "3 s", "-1", "1e3", "1.2.3", "ms", "3S", "99999999999h"})
    BOOST_CHECK_THROW(read_duration(text), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_collector_is_a_plain_url) {
  for (const auto* good :
       {"http://127.0.0.1:4318", "https://collector.example/otlp", "http://[::1]:4318/"})
    BOOST_TEST(read_otlp_endpoint(good) == good);
  for (const auto* bad :
       {"", "collector:4318", "ftp://c", "http://", "http:///v1", "http://:4318", "http://me:pw@c",
        "http://c?a=b", "http://c#f", "http://c d", "http://c\n"})
    BOOST_CHECK_THROW(read_otlp_endpoint(bad), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(headers_for_a_collector_are_percent_decoded_and_clean) {
  BOOST_TEST(read_otlp_headers("").empty());
  const auto read = read_otlp_headers("Authorization=Bearer%20a%2Cb=,x-scope=1");
  BOOST_REQUIRE(read.size() == 2);
  BOOST_TEST(read[0].first == "Authorization");
  BOOST_TEST(read[0].second == "Bearer a,b=");
  BOOST_TEST(read[1].first == "x-scope");
  BOOST_TEST(read[1].second == "1");
  for (const auto* bad : {"secret", "=secret", "a=", "a b=secret", "a:=secret", "a=secret%0d%0aX",
                          "a=secret%", "a=secret%2", "a=secret%zz", "a=secret,,b=1"})
    BOOST_CHECK_EXCEPTION(read_otlp_headers(bad), std::invalid_argument, [](const auto& e) {
      return std::string_view{e.what()}.find("secret") == std::string_view::npos;
    });
}
