// Jobs laid out for people.
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace troupe::cli;

namespace {
const std::string job =
    R"({"id":"17","queue":"default","kind":"echo","priority":0,"state":"completed",)"
    R"("args":{"n":12345678901234567890123},"attempt":2,"max_attempts":20,"timeout_ms":null,)"
    R"("tags":["a","b"],"limit_key":"acme","run_at":"2026-11-23T08:55:05.000001Z",)"
    R"("created_at":"2026-11-23T08:55:05.000001Z","attempts":[)"
    R"({"attempt":1,"outcome":"failed","node":"n1","started_at":"2026-11-23T08:55:05.1Z",)"
    R"("finished_at":"2026-11-23T08:55:06.1Z","result":null,"error":"\u001b[31mno"},)"
    R"({"attempt":2,"outcome":null,"node":"n1","started_at":"2026-11-23T08:55:09.1Z",)"
    R"("finished_at":null,"result":98765432109876543210,"error":null}]})";
}

BOOST_AUTO_TEST_CASE(a_list_shows_one_line_per_job) {
  auto rows = jobs_table(0);
  BOOST_TEST(add_jobs(rows, R"({"jobs":[)" + job + R"(],"next":"c1"})") == 1);
  const auto text = rows.take();
  BOOST_TEST(text.find("17  completed  echo  default") != std::string::npos);
  BOOST_TEST(text.find("2/20  2026-11-23 08:55:05Z") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(details_keep_numbers_exact_and_escapes_harmless) {
  const auto text = job_details(job);
  BOOST_TEST(text.find("12345678901234567890123") != std::string::npos);
  BOOST_TEST(text.find("98765432109876543210") != std::string::npos);
  BOOST_TEST(text.find("\\x1b[31mno") != std::string::npos);
  BOOST_TEST(text.find('\x1b') == std::string::npos);
  BOOST_TEST(text.find("a, b") != std::string::npos);
  BOOST_TEST(text.find("limit_key   acme") != std::string::npos, text);
  BOOST_TEST(text.find("running") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(progress_is_a_field_when_there_is_one) {
  BOOST_TEST(job_details(job).find("progress") == std::string::npos);
  auto going = job;
  going.insert(going.find("\"attempts\""),
               R"("progress":{"percent":12.5,"message":"3 of 24","attempt":2,"updated_at":"x"},)");
  BOOST_TEST(job_details(going).find("12.5%, 3 of 24") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_log_has_a_line_for_each_of_its_lines) {
  const std::string log =
      R"({"lines":[{"number":"7","at":"2026-11-23T09:00:00Z","attempt":1,"level":"info",)"
      R"("text":"a\nb"},{"number":"9","at":"2026-11-23T09:00:01Z","attempt":1,"level":"error",)"
      R"("text":"\u001b[31mc"}],"next":null})";
  BOOST_TEST(log_lines(log)
             == "2026-11-23 09:00:00Z  info   a\\nb\n2026-11-23 09:00:01Z  error  \\x1b[31mc\n");
  BOOST_TEST(last_line(log) == "9");
  BOOST_TEST(last_line(R"({"lines":[],"next":null})") == "");
}

BOOST_AUTO_TEST_CASE(the_cursor_is_read_and_null_means_the_end) {
  BOOST_TEST(next_cursor(R"({"jobs":[],"next":"abc"})") == "abc");
  BOOST_TEST(next_cursor(R"({"jobs":[],"next":null})") == "");
}

BOOST_AUTO_TEST_CASE(an_answer_of_somebody_else_is_refused) {
  BOOST_CHECK_THROW(job_details("<html>"), command_error);
  auto rows = jobs_table(0);
  BOOST_CHECK_THROW(add_jobs(rows, "{}"), command_error);
}

BOOST_AUTO_TEST_CASE(what_is_very_long_is_cut_with_a_remark) {
  const auto with = [](std::size_t size) {
    return job_details(R"({"id":"1","args":"x","attempts":[{"attempt":1,"result":"\u00fc)"
                       + std::string(size, 'y') + R"(ü"}]})");
  };
  const auto remark = std::string{"… 5012 bytes, see --json"};
  BOOST_TEST(with(5002).find(remark) != std::string::npos, with(5002));
  BOOST_TEST(with(5002).size() < 6000);
  BOOST_TEST(with(1000).find("see --json") == std::string::npos);
  // Not in the middle of a character.
  std::string wide;
  for (int i = 0; i < 3000; ++i)
    wide += "ü";
  for (const auto* before : {"", "y"})
    BOOST_TEST(job_details(R"({"id":"1","args":")" + (before + wide) + R"("})").find("\xef\xbf\xbd")
               == std::string::npos);
}
