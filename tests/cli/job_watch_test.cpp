// Jobs that are followed: what counts as news, how they end, and how they look.
#include "cli/job_watch.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe::cli;

namespace {

std::string job(const std::string& id, const std::string& state, int attempt = 0,
                const std::string& progress = "null", const std::string& error = "") {
  return R"({"id":")" + id + R"(","queue":"q","kind":"import","state":")" + state
         + R"(","args":{},"attempt":)" + std::to_string(attempt)
         + R"(,"max_attempts":3,"progress":)" + progress + R"(,"attempts":[)"
         + (error.empty() ? "" : R"({"attempt":1,"outcome":"failed","error":")" + error + R"("})")
         + "]}";
}

const std::string half = R"({"percent":50.5,"message":"half \u001b[2J","attempt":1})";

} // namespace

BOOST_AUTO_TEST_CASE(only_what_has_changed_is_news) {
  job_watch jobs({"7"});
  BOOST_TEST(jobs.take("7", job("7", "available")));
  BOOST_TEST(!jobs.take("7", job("7", "available")));
  BOOST_TEST(jobs.sentence("7") == "job 7 is available");
  BOOST_TEST(jobs.take("7", job("7", "running", 1)));
  BOOST_TEST(jobs.sentence("7") == "job 7 is running, attempt 1 of 3");
  BOOST_TEST(jobs.take("7", job("7", "running", 1, half)));
  BOOST_TEST(!jobs.take("7", job("7", "running", 1, half)));
  BOOST_TEST(jobs.sentence("7") == "job 7 is running, attempt 1 of 3, 50.5%, half \\x1b[2J");
  BOOST_TEST(jobs.take("7", job("7", "retryable", 1, half, "no such host")));
  BOOST_TEST(jobs.take("7", job("7", "running", 2, half, "no such host")));
  BOOST_TEST(jobs.left().size() == 1);
  BOOST_TEST(jobs.take("7", job("7", "completed", 2)));
  BOOST_TEST(jobs.left().empty());
}

BOOST_AUTO_TEST_CASE(the_verdict_is_the_worst_of_all) {
  const auto verdict = [](const std::vector<std::string>& states) {
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < states.size(); ++i)
      ids.push_back(std::to_string(i + 1));
    job_watch jobs(ids);
    for (std::size_t i = 0; i < states.size(); ++i)
      if (states[i].empty())
        jobs.lose(ids[i]);
      else
        jobs.take(ids[i], job(ids[i], states[i]));
    BOOST_TEST(jobs.left().empty());
    return static_cast<int>(jobs.verdict());
  };
  BOOST_TEST(verdict({"completed", "completed"}) == 0);
  BOOST_TEST(verdict({"completed", "discarded"}) == 8);
  BOOST_TEST(verdict({"cancelled", "completed"}) == 8);
  BOOST_TEST(verdict({"completed", ""}) == 3);
  BOOST_TEST(verdict({"", "discarded"}) == 8);
}

BOOST_AUTO_TEST_CASE(a_job_that_is_named_twice_is_followed_once) {
  BOOST_TEST((job_watch({"3", "4", "3"}).left() == std::vector<std::string>{"3", "4"}));
}

BOOST_AUTO_TEST_CASE(programs_get_numbers_as_the_server_wrote_them) {
  job_watch jobs({"7"});
  jobs.take("7", job("7", "running", 1, R"({"percent":12.50,"message":null})"));
  BOOST_TEST(jobs.object("7")
             == R"({"id":"7","queue":"q","kind":"import","state":"running","attempt":1,)"
                R"("max_attempts":3,"progress":{"percent":12.50,"message":null},"error":null})");
  jobs.take("7", job("7", "discarded", 3, "null", "\\u001b[31mred"));
  BOOST_TEST(jobs.object("7").ends_with(R"("progress":null,"error":"\u001b[31mred"})"));
}

BOOST_AUTO_TEST_CASE(the_table_fits_the_terminal) {
  job_watch jobs({"7", "8", "9"});
  jobs.take("7", job("7", "running", 1, half));
  jobs.take("8", job("8", "discarded", 3, "null", "a long story about what went wrong"));
  jobs.lose("9");
  const auto wide = jobs.lines(24, 80);
  BOOST_REQUIRE(wide.size() == 4);
  BOOST_TEST(wide[0] == "ID  STATE      KIND    ATTEMPT  PROGRESS");
  BOOST_TEST(wide[1] == " 7  running    import      1/3  50.5%, half \\x1b[2J");
  BOOST_TEST(wide[3].starts_with(" 9  not there"));
  const auto tight = jobs.lines(3, 20);
  BOOST_REQUIRE(tight.size() == 3);
  BOOST_TEST(tight[1] == " 7  running    impo…");
  BOOST_TEST(tight[2] == "and 2 more");
  BOOST_TEST(jobs.lines(0, 1).size() == 1);
}

BOOST_AUTO_TEST_CASE(what_is_no_job_is_an_error) {
  job_watch jobs({"7"});
  for (const auto* answer : {"", "[]", "{}", R"({"state":"odd"})"})
    BOOST_CHECK_THROW(jobs.take("7", answer), command_error);
}
