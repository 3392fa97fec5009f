// Which bytes a Range asks for: the examples of RFC 9110 (14.1.2) and what comes near them.
#include "http/byte_range.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace troupe::http;

namespace {

std::string text_of(const wanted_range& wanted) {
  if (const auto* range = std::get_if<byte_range>(&wanted))
    return std::to_string(range->begin) + '-' + std::to_string(range->end - 1);
  return std::holds_alternative<no_range>(wanted) ? "none" : "whole";
}

} // namespace

BOOST_AUTO_TEST_SUITE(byte_ranges)

BOOST_AUTO_TEST_CASE(ranges_are_read_as_rfc_9110_has_them) {
  const std::vector<std::pair<std::string, std::string>> of_ten_thousand{
      {"bytes=0-499", "0-499"},
      {"bytes=500-999", "500-999"},
      {"bytes=-500", "9500-9999"},
      {"bytes=9500-", "9500-9999"},
      {"bytes=0-0", "0-0"},
      {"bytes=-1", "9999-9999"},
      {"bytes=0-", "0-9999"},
      {"bytes=9999-9999", "9999-9999"},
      {"bytes=9999-20000", "9999-9999"},
      {"bytes=0-99999999999999999999999", "0-9999"},
      {"bytes=-99999999999999999999999", "0-9999"},
      {"bytes=-10000", "0-9999"},
      {"bytes=-10001", "0-9999"},
      {"BYTES=0-1", "0-1"},
      {"bytes= 0-1 ", "0-1"},
      {"bytes=007-008", "7-8"},
      // Beyond the end.
      {"bytes=10000-", "none"},
      {"bytes=10000-10001", "none"},
      {"bytes=99999999999999999999999-", "none"},
      {"bytes=-0", "none"},
      // Several: the whole may be given.
      {"bytes=0-0,-1", "whole"},
      {"bytes=500-600,601-999", "whole"},
      {"bytes=0-0,", "whole"},
      // No range at all.
      {"bytes=5-4", "whole"},
      {"bytes=", "whole"},
      {"bytes=-", "whole"},
      {"bytes=a-b", "whole"},
      {"bytes=0x0-1", "whole"},
      {"bytes=+0-1", "whole"},
      {"bytes=0--1", "whole"},
      {"bytes=1", "whole"},
      {"bytes=0 - 1", "whole"},
      {"bytes 0-1", "whole"},
      {"bytes", "whole"},
      {"items=0-1", "whole"},
      {"=0-1", "whole"},
      {"", "whole"},
  };
  for (const auto& [field, wanted] : of_ten_thousand)
    BOOST_TEST(text_of(parse_range(field, 10'000)) == wanted, field);
  for (const auto* field : {"bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"})
    BOOST_TEST(text_of(parse_range(field, 0)) == "none", field);
}

BOOST_AUTO_TEST_CASE(every_short_range_is_within_the_file_or_refused) {
  for (std::int64_t size = 0; size < 6; ++size)
    for (int first = -1; first < 8; ++first)
      for (int last = -1; last < 8; ++last) {
        const auto field = "bytes=" + (first < 0 ? "" : std::to_string(first)) + '-'
                           + (last < 0 ? "" : std::to_string(last));
        std::string wanted = "none";
        if ((first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first)) {
          wanted = "whole";
        } else {
          std::int64_t begin = -1;
          std::int64_t end = -1;
          for (std::int64_t i = 0; i < size; ++i) // byte by byte
            if (first < 0 ? i >= size - last : (i >= first && (last < 0 || i <= last))) {
              begin = begin < 0 ? i : begin;
              end = i;
            }
          if (begin >= 0)
            wanted = std::to_string(begin) + '-' + std::to_string(end);
        }
        BOOST_TEST(text_of(parse_range(field, size)) == wanted, field << " of " << size);
      }
}

BOOST_AUTO_TEST_CASE(a_range_holds_only_of_the_file_that_if_range_names) {
  const auto wanted = [](std::vector<head_field> fields) {
    request_head head;
    head.fields = std::move(fields);
    return text_of(wanted_of(head, 100, "\"x\""));
  };
  BOOST_TEST(wanted({}) == "whole");
  BOOST_TEST(wanted({{"range", "bytes=1-2"}}) == "1-2");
  BOOST_TEST(wanted({{"Range", "bytes=1-2"}, {"If-Range", "\"x\""}}) == "1-2");
  BOOST_TEST(wanted({{"If-Range", "\"x\""}, {"Range", "bytes=100-"}}) == "none");
  BOOST_TEST(wanted({{"Range", "bytes=1-2"}, {"If-Range", "\"y\""}}) == "whole");
  BOOST_TEST(wanted({{"Range", "bytes=100-"}, {"If-Range", "\"y\""}}) == "whole");
  BOOST_TEST(wanted({{"Range", "bytes=1-2"}, {"If-Range", "W/\"x\""}}) == "whole");
  BOOST_TEST(wanted({{"Range", "bytes=1-2"}, {"If-Range", "Sun, 06 Nov 1994 08:49:37 GMT"}})
             == "whole");
  BOOST_TEST(wanted({{"Range", "bytes=1-2"}, {"Range", "bytes=3-4"}}) == "whole");
  BOOST_TEST(content_range({1, 3}, 100) == "bytes 1-2/100");
  BOOST_TEST(content_range_of_none(100) == "bytes */100");
}

BOOST_AUTO_TEST_SUITE_END()
