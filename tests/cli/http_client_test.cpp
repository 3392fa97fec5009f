// Talking to a server: what its error answers say, and what it is called when nobody answers.
#include "cli/exit_code.hpp"
#include "cli/http_client.hpp"
#include "tests/http/running_server.hpp"
#include "tests/http/tls_refused.hpp"
#include "tests/support/mute_server.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <thread>

using namespace troupe::cli;
using namespace troupe::tests;
using troupe::tests::running_server;
using troupe::tests::temp_dir;
using troupe::tests::tests_certificates;

namespace {

/// Why there is no answer: the code, and what is said.
std::string refused(const client_settings& server) {
  try {
    http_client(server).request("GET", "/livez");
  } catch (const command_error& e) {
    return std::to_string(static_cast<int>(e.code())) + ": " + e.what();
  }
  return "nothing";
}

troupe::http::server_options with_tls() {
  auto out = running_server::usual();
  out.tls = std::make_shared<troupe::http::tls_context>(troupe::http::tls_files{
      tests_certificates().file("server.crt"), tests_certificates().file("server.key")});
  return out;
}

client_settings to(const std::string& url, const std::string& ca_file = {}) {
  client_settings out;
  out.url = url;
  out.timeout = 20;
  out.ca_file = ca_file;
  return out;
}

int code_of_get(const std::string& url, double seconds = 5) {
  try {
    http_client({url, seconds}).request("GET", "/");
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

BOOST_AUTO_TEST_CASE(a_token_that_is_missing_is_told_in_words_of_the_command_line) {
  BOOST_TEST(problem_text({401, R"({"detail":"send one","code":"token_required"})"})
             == "send one (HTTP 401); name a token's file by --token-file, or put the token into "
                "TROUPE_TOKEN");
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

BOOST_AUTO_TEST_CASE(only_what_was_refused_before_anything_was_done_is_asked_again) {
  const std::chrono::seconds wait{7};
  const auto patience = [&](long status, const std::string& body) {
    return asked_patience({status, body, wait}).count();
  };
  BOOST_TEST(patience(429, R"({"code":"rate_exceeded","retryable":true})") == 7);
  BOOST_TEST(patience(503, R"({"code":"overloaded","retryable":true})") == 7);
  BOOST_TEST(patience(503, R"({"code":"outcome_unknown","retryable":false})") == 0);
  BOOST_TEST(patience(409, R"({"code":"export_unfinished","retryable":true})") == 0);
  BOOST_TEST(patience(429, R"({"code":"too_many_failures","retryable":true})") == 0);
  BOOST_TEST(patience(503, "<html>") == 0);
  BOOST_TEST(problem_text({429, R"({"detail":"too often"})", wait})
             == "too often (HTTP 429); the server asks to wait 7 s");
  BOOST_TEST(problem_text({503, "", wait}) == "HTTP 503; the server asks to wait 7 s");
}

BOOST_AUTO_TEST_CASE(wrong_tokens_are_no_overload) {
  const auto code = [](const http_answer& answer) {
    return static_cast<int>(exit_code_of_answer(answer));
  };
  BOOST_TEST(code({429, R"({"code":"too_many_failures"})"}) == 5);
  BOOST_TEST(code({429, R"({"code":"rate_exceeded"})"}) == 6);
  BOOST_TEST(code({200, ""}) == 0);
  BOOST_TEST(code({403, R"({"code":"queue_reserved"})"}) == 2);
  BOOST_TEST(code({403, R"({"code":"role_not_enough"})"}) == 5);
}

BOOST_AUTO_TEST_CASE(a_server_that_asks_for_patience_is_asked_again_as_long_as_there_is_time) {
  auto busy = running_server::usual();
  busy.limits.caller_burst = 1;
  busy.limits.caller_each = std::chrono::seconds{1};
  running_server server{nullptr, busy};
  http_client patient{to("http://127.0.0.1:" + std::to_string(server.port()))};
  for (int i = 0; i < 2; ++i)
    BOOST_TEST(patient.request("GET", "/api/v1/jobs").status == 200);
  std::string taken;
  BOOST_CHECK_NO_THROW(
      patient.download("/api/v1/jobs", [&](std::string_view some) { taken += some; }));
  BOOST_TEST(!taken.empty());
}

BOOST_AUTO_TEST_CASE(who_gives_up_sooner_does_not_wait_as_long_as_the_server_asks) {
  auto busy = running_server::usual();
  busy.limits.caller_burst = 1;
  busy.limits.caller_each = std::chrono::seconds{60};
  running_server server{nullptr, busy};
  auto settings = to("http://127.0.0.1:" + std::to_string(server.port()));
  settings.timeout = 120; // would be time to wait
  http_client hasty{settings};
  BOOST_TEST(hasty.request("GET", "/api/v1/jobs").status == 200);
  hasty.give_up_after(std::chrono::duration<double>{0.2});
  const auto began = std::chrono::steady_clock::now();
  std::string told;
  try {
    hasty.request("GET", "/api/v1/jobs");
    BOOST_ERROR("it was not refused");
  } catch (const command_error& e) {
    BOOST_TEST(static_cast<int>(e.code()) == 6);
    told = e.what();
  }
  BOOST_TEST((std::chrono::steady_clock::now() - began < std::chrono::seconds{30}));
  const std::string words = "the server asks to wait ";
  BOOST_REQUIRE(says(told, words));
  const int seconds = std::stoi(told.substr(told.find(words) + words.size()));
  BOOST_TEST((seconds > 30 && seconds <= 60), told);
  BOOST_TEST(told.ends_with(" s"), told);
}

BOOST_AUTO_TEST_CASE(a_password_in_the_url_is_not_told) {
  for (const auto* url : {"http://ada:s3cret@127.0.0.1:9", "ada:s3cret@127.0.0.1:9",
                          "ftp://ada:s3cret@h", "http://ada:s3cret@a b", "https://ada:s3cret@h x"})
    BOOST_TEST(!says(refused(to(url)), "s3cret"), url);
  BOOST_TEST(says(refused(to("http://ada:s3cret@127.0.0.1:9")), "http://ada:***@127.0.0.1:9"));
}

BOOST_AUTO_TEST_CASE(a_query_value_is_escaped) {
  BOOST_TEST(http_client::escaped("a b&c=d/é") == "a%20b%26c%3Dd%2F%C3%A9");
}

BOOST_AUTO_TEST_CASE(a_server_by_tls_is_asked_when_its_authority_is_known) {
  running_server server{nullptr, with_tls()};
  const auto port = std::to_string(server.port());
  const auto ca = tests_certificates().file("ca.crt");
  http_client client{to("https://localhost:" + port, ca)};
  BOOST_TEST(client.request("GET", "/livez").body == "ok\n");
  std::string taken;
  client.download("/livez", [&](std::string_view some) { taken += some; });
  BOOST_TEST(taken == "ok\n");
}

BOOST_AUTO_TEST_CASE(a_server_that_is_not_trusted_is_not_asked_and_the_reason_is_said) {
  running_server server{nullptr, with_tls()};
  const auto port = std::to_string(server.port());
  const auto ca = tests_certificates().file("ca.crt");
  const auto unknown = refused(to("https://localhost:" + port));
  BOOST_TEST(says(unknown, "1: the server at https://localhost:" + port + " is not trusted"));
  BOOST_TEST(says(unknown, "--ca-file"));
  const auto wrong_name = refused(to("https://127.0.0.1:" + port, ca));
  BOOST_TEST(says(wrong_name, "is not trusted"));
  BOOST_TEST(says(wrong_name, "127.0.0.1"));
  tests_certificates().issue("expired", "localhost", "ca", -1);
  const troupe::tests::tls_refused late{"expired"};
  const auto expired = refused(to("https://localhost:" + std::to_string(late.port()), ca));
  BOOST_TEST(says(expired, "is not trusted: its certificate has expired"));
  BOOST_TEST(says(refused(to("https://localhost:" + port, "/no/such.crt")), "2: --ca-file"));
  BOOST_TEST(server.counters.http_requests == 0U);
}

BOOST_AUTO_TEST_CASE(tls_and_plain_http_meet_each_other_with_words) {
  running_server by_tls{nullptr, with_tls()};
  const auto plain = refused(to("http://127.0.0.1:" + std::to_string(by_tls.port())));
  BOOST_TEST(says(plain, "2: this port speaks TLS: use https"));
  running_server by_http;
  const auto tls = refused(to("https://127.0.0.1:" + std::to_string(by_http.port())));
  BOOST_TEST(says(tls, "1: there is no TLS with the server at https://127.0.0.1:"));
  BOOST_TEST(says(tls, "TROUPE_URL to http://127.0.0.1:" + std::to_string(by_http.port())));
  // Without a scheme it is http.
  const auto bare = refused(to("127.0.0.1:" + std::to_string(by_tls.port())));
  BOOST_TEST(says(bare, "2: this port speaks TLS: use https"));
  BOOST_TEST(says(bare, "set --url or TROUPE_URL to https://"));
}

BOOST_AUTO_TEST_CASE(a_foreign_server_that_speaks_tls_is_named_with_the_other_scheme) {
  const troupe::tests::tls_refused ends_it{"server"};
  const auto port = std::to_string(ends_it.port());
  const auto ended = refused(to("127.0.0.1:" + port));
  BOOST_TEST(says(ended, "6: no server answers at http://127.0.0.1:" + port));
  BOOST_TEST(says(ended, "TROUPE_URL to https://127.0.0.1:" + port));
  troupe::tests::mute_server alerts;
  std::thread server([&] { alerts.answer(std::string{"\x15\x03\x01\x00\x02\x02\x46", 7}); });
  const auto alerted = refused(to("http://127.0.0.1:" + alerts.port()));
  server.join();
  BOOST_TEST(says(alerted,
                  "1: what listens at http://127.0.0.1:" + alerts.port() + " does not speak HTTP"));
  BOOST_TEST(says(alerted, "TROUPE_URL to https://127.0.0.1:" + alerts.port()));
}

BOOST_AUTO_TEST_CASE(the_code_of_a_problem_is_read_and_of_others_there_is_none) {
  BOOST_TEST(problem_code({404, R"({"detail":"none","code":"not_found"})"}) == "not_found");
  for (const auto* other : {"", "<html>", "[]", "{}", R"({"code":7})"})
    BOOST_TEST(problem_code({404, other}).empty(), other);
}

BOOST_AUTO_TEST_CASE(a_server_on_a_unix_socket_is_asked_by_its_path) {
  const temp_dir dir;
  auto on_path = running_server::usual();
  on_path.address.clear();
  on_path.socket_path = (dir.path() / "t.sock").string();
  const auto url = "unix:" + on_path.socket_path;
  {
    running_server server{nullptr, on_path};
    BOOST_TEST(http_client{to(url)}.request("GET", "/livez").body == "ok\n");
  }
  BOOST_TEST(says(refused(to("unix:/no/such.sock")), "(No such file or directory)"));
  BOOST_TEST(says(refused(to(url)), "6: no server answers at " + url));
  BOOST_TEST(says(refused(to("/run/t.sock")), "2: '/run/t.sock' is no URL"));
  BOOST_TEST(says(refused(to("/run/t.sock")), "unix:/run/t.sock"));
  BOOST_TEST(says(refused(to("unix:t.sock")), "2: 'unix:t.sock' needs a path that begins with /"));
}
