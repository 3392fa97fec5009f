// Queues laid out for people.
#include "cli/exit_code.hpp"
#include "cli/queue_view.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe::cli;

namespace {

const std::string limited =
    R"({"name":"mail","paused":true,"paused_at":"2026-11-23T08:55:05.000001Z","concurrency":3,)"
    R"("rate":{"jobs":100,"period_ms":60000,"burst":5},"key_concurrency":2,"key_rate":{"jobs":7,"period_ms":1000,"burst":9},"ordered":true,"max_waiting":20000,"waiting":10000,"running":2,"version":4,"changed_at":null})";
const std::string plain = R"({"name":"default","paused":false,"paused_at":null,)"
                          R"("concurrency":null,"waiting":1,"running":0})";

} // namespace

BOOST_AUTO_TEST_CASE(a_list_shows_one_line_per_queue) {
  auto rows = queues_table();
  add_queues(rows, R"({"queues":[)" + limited + "," + plain + R"(],"next":"mail"})");
  const auto text = rows.take();
  BOOST_TEST(text.find("mail     paused    10000        2            3  100/min")
                 != std::string::npos,
             text);
  BOOST_TEST(text.find("default  open          1        0         none     none")
                 != std::string::npos,
             text);
  BOOST_TEST(next_queue(R"({"queues":[],"next":"mail"})") == "mail");
  BOOST_TEST(next_queue(R"({"queues":[],"next":null})").empty());
}

BOOST_AUTO_TEST_CASE(counts_show_one_line_per_queue) {
  auto rows = counts_table();
  add_counts(rows, R"({"queues":[{"queue":"mail","scheduled":1,"available":23,"running":4,)"
                   R"("retryable":5,"completed":600,"cancelled":7,"discarded":8}],"next":null})");
  const auto text = rows.take();
  BOOST_TEST(
      text.find("mail           1         23        4          5        600          7          8")
          != std::string::npos,
      text);
  BOOST_CHECK_THROW(add_counts(rows, "{}"), command_error);
}

BOOST_AUTO_TEST_CASE(one_queue_is_shown_with_what_is_said_of_it) {
  const auto text = queue_details(limited);
  BOOST_TEST(text.find("paused_at        2026-11-23 08:55:05Z") != std::string::npos, text);
  BOOST_TEST(text.find("waiting          10000\n") != std::string::npos, text);
  BOOST_TEST(text.find("ordered          yes") != std::string::npos, text);
  BOOST_TEST(text.find("rate             100/min") != std::string::npos, text);
  BOOST_TEST(text.find("burst            5") != std::string::npos, text);
  BOOST_TEST(text.find("key_concurrency  2") != std::string::npos, text);
  BOOST_TEST(text.find("key_rate         7/s") != std::string::npos, text);
  BOOST_TEST(text.find("key_burst        9") != std::string::npos, text);
  BOOST_TEST(text.find("max_waiting      20000") != std::string::npos, text);
  BOOST_TEST(queue_details(plain).find("max_waiting      none") != std::string::npos);
  BOOST_TEST(queue_details(plain).find("burst") == std::string::npos);
  BOOST_TEST(queue_details(plain).find("paused_at") == std::string::npos);
  BOOST_TEST(running_of(limited) == 2);
}

BOOST_AUTO_TEST_CASE(an_answer_that_is_about_no_queue_is_refused) {
  auto rows = queues_table();
  BOOST_CHECK_THROW(add_queues(rows, R"({"jobs":[]})"), command_error);
  BOOST_CHECK_THROW(running_of(R"({"running":"2"})"), command_error);
  BOOST_CHECK_THROW(queue_details("<html>"), command_error);
}

BOOST_AUTO_TEST_CASE(an_unknown_queue_is_told_with_the_one_that_was_meant) {
  std::vector<std::string> known;
  add_names(known, R"({"queues":[{"name":"mail"},{"name":"reports"}],"next":null})");
  add_names(known, "{}");
  BOOST_TEST(known.size() == 2U);
  BOOST_TEST(unknown_queue("mial", known, true)
             == "there is no queue of the name mial; did you mean mail? Else --create makes it");
  BOOST_TEST(unknown_queue("video", known, true)
             == "there is no queue of the name video; --create makes it");
  BOOST_TEST(unknown_queue("mial", known, false)
             == "there is no queue of the name mial; did you mean mail?");
}
