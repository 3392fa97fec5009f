// What holds a job, told in one line.
#include "cli/exit_code.hpp"
#include "cli/why_view.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

namespace {

/// The sentence about job 17 of queue mail without its beginning.
std::string told(const std::string& reason, const std::string& more = "") {
  const auto text = why_sentence(R"({"id":"17","state":"available","queue":"mail","kind":"k",)"
                                 R"("reason":")"
                                 + reason + '"' + (more.empty() ? "" : "," + more) + "}");
  BOOST_TEST(text.starts_with("job 17 "));
  return text.substr(7);
}

} // namespace

BOOST_AUTO_TEST_CASE(each_reason_is_a_sentence_with_its_figures) {
  const std::string since = R"("since":"2026-11-23T08:55:05.25Z")";
  const std::string due = R"("due_at":"2026-11-24T00:00:00Z")";
  BOOST_TEST(told("finished", since) == "has ended: available at 2026-11-23 08:55:05Z");
  BOOST_TEST(told("running", R"("node":"one",)" + since)
             == "runs on one since 2026-11-23 08:55:05Z");
  BOOST_TEST(told("time", due) == "waits for its time, 2026-11-24 00:00:00Z");
  BOOST_TEST(told("paused", since) == "waits: queue mail is paused since 2026-11-23 08:55:05Z");
  BOOST_TEST(told("limit", R"("allowed":3,"in_use":4)")
             == "waits: 4 of queue mail run, and the limit is 3");
  BOOST_TEST(told("limit", R"("allowed":3,"in_use":3,"node":"one","ahead":1)")
             == "waits on one: 3 of queue mail run, and the limit is 3; about 1 job goes first");
  BOOST_TEST(told("key_limit", R"("allowed":1,"in_use":1,"limit_key":"ada","ahead":2)")
             == "waits: 1 of key ada in queue mail run, and the limit is 1; about 2 jobs go first");
  BOOST_TEST(told("rate", due)
             == "waits until 2026-11-24 00:00:00Z: the rate of queue mail is used up");
  BOOST_TEST(told("key_rate", R"("limit_key":"ada",)" + due)
             == "waits until 2026-11-24 00:00:00Z: the rate of key ada in queue mail is used up");
  BOOST_TEST(told("no_node") == "waits: no live node serves queue mail");
  BOOST_TEST(told("no_node", since)
             == "waits: no live node serves queue mail; the last heartbeat was at "
                "2026-11-23 08:55:05Z");
  BOOST_TEST(told("no_kind", R"("kind":"resize")")
             == "waits: no live node of queue mail has kind resize");
  BOOST_TEST(told("no_kind", R"("kind":"resize",)" + due)
             == "waits: no live node of queue mail has kind resize; it is tried again at "
                "2026-11-24 00:00:00Z");
  BOOST_TEST(told("lag", since)
             == "waits: the nodes of queue mail are late, the last heartbeat was at "
                "2026-11-23 08:55:05Z");
  BOOST_TEST(told("lag", due)
             == "waits: it was due at 2026-11-24 00:00:00Z, and no node has noticed yet");
  BOOST_TEST(told("turn", R"("ahead":1)")
             == "waits for its turn in queue mail; about 1 job goes first");
  BOOST_TEST(told("turn", R"("ahead":10000,"more_ahead":true)")
             == "waits for its turn in queue mail; more than 10000 jobs go first");
  BOOST_TEST(told("turn", R"("ahead":null)") == "waits for its turn in queue mail");
  BOOST_TEST(told("order", R"("holder":"16","node":"one")")
             == "waits: queue mail is ordered, and job 16 before it runs on one");
  BOOST_TEST(told("order", R"("holder":"16",)" + due)
             == "waits: queue mail is ordered, and job 16 before it goes on at "
                "2026-11-24 00:00:00Z");
  BOOST_TEST(told("order", R"("holder":"16")")
             == "waits: queue mail is ordered, and job 16 before it has not ended");
  BOOST_TEST(told("next") == "is next: a node of queue mail takes it when it has a free slot");
}

BOOST_AUTO_TEST_CASE(a_job_that_is_tried_again_shows_its_error_on_one_line) {
  BOOST_TEST(why_sentence(R"({"id":"17","state":"retryable","queue":"q","reason":"time",)"
                          R"("due_at":"2026-11-24T00:00:00Z","error":"no\nhandler"})")
             == "job 17 is tried again at 2026-11-24 00:00:00Z; it failed: no\\nhandler");
}

BOOST_AUTO_TEST_CASE(a_reason_that_this_program_does_not_know_is_told_as_it_is) {
  BOOST_TEST(told("moon") == "waits: moon");
  BOOST_CHECK_THROW(why_sentence("{}"), command_error);
  BOOST_CHECK_THROW(why_sentence("<html>"), command_error);
}
