// Talking to a server: what its error answers say, and what it is called when nobody answers.
#include "cli/exit_code.hpp"
#include "cli/http_client.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace troupe::cli;

namespace {

int code_of_get(const std::string& url, double seconds = 5) {
  try {
    http_client(url, seconds).request("GET", "/");
  } catch (const command_error& e) {
    return static_cast<int>(e.code());
  }
  return 0;
}

} // namespace

BOOST_AUTO_TEST_CASE(a_problem_is_told_with_every_field_at_fault) {
  BOOST_TEST(problem_text({409, R"({"detail":"job 2 is already discarded","errors":[]})"})
             == "job 2 is already discarded (HTTP 409)");
  BOOST_TEST(problem_text({400, R"({"detail":"/a: one","errors":[{"pointer":"/a","detail":"one"},)"
                                R"({"pointer":"/b","detail":"two"}]})"})
             == "/a: one (HTTP 400); /a: one; /b: two");
}

BOOST_AUTO_TEST_CASE(an_answer_that_is_no_problem_document_is_shown_in_short) {
  BOOST_TEST(problem_text({502, "<html>bad gateway"}) == "HTTP 502: <html>bad gateway");
  BOOST_TEST(problem_text({503, ""}) == "HTTP 503");
  BOOST_TEST(problem_text({500, R"({"detail":7})"}) == R"(HTTP 500: {"detail":7})");
  BOOST_TEST(problem_text({500, std::string(100'000, 'x')}).size() < 1000);
}

BOOST_AUTO_TEST_CASE(nobody_there_is_unavailable_and_a_foreign_scheme_is_wrong_usage) {
  BOOST_TEST(code_of_get("http://127.0.0.1:9") == 6);
  BOOST_TEST(code_of_get("127.0.0.1:9/") == 6);
  BOOST_TEST(code_of_get("file:///etc/passwd") == 2);
  BOOST_TEST(code_of_get("http://a b") == 2);
}

BOOST_AUTO_TEST_CASE(a_query_value_is_escaped) {
  BOOST_TEST(http_client::escaped("a b&c=d/é") == "a%20b%26c%3Dd%2F%C3%A9");
}
