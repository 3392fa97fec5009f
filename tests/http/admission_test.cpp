// Who may ask: hosts on a loopback bind, other sites' pages, content types.
#include "http/admission.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace troupe::http;

namespace {

int status_of(const std::optional<response>& refused) {
  return refused ? refused->status : 0;
}

int ask(std::string_view host, method verb, std::vector<head_field> fields,
        const std::string& address = "127.0.0.1", const std::set<std::string>& more = {}) {
  request_head head;
  head.fields = std::move(fields);
  framing borders;
  borders.host = host;
  return status_of(admit(head, borders, verb, rules_for(address, more)));
}

int send(const route& wanted, std::vector<head_field> fields, std::uint64_t length) {
  request_head head;
  head.fields = std::move(fields);
  framing borders;
  borders.content_length = length;
  return status_of(admit_body(wanted, head, borders));
}

} // namespace

BOOST_AUTO_TEST_CASE(a_loopback_server_answers_to_its_own_names_only) {
  for (const auto* host : {"localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080"})
    BOOST_TEST(ask(host, method::get, {}) == 0, host);
  for (const auto* host : {"evil.example", "localhost.evil.example", "127.0.0.2", "", "[::2]"})
    BOOST_TEST(ask(host, method::get, {}) == 403, host);
  BOOST_TEST(ask("127.0.0.2:80", method::get, {}, "127.0.0.2") == 0);
  BOOST_TEST(ask("Jobs.Internal", method::get, {}, "127.0.0.1", {"jobs.internal"}) == 0);
}

BOOST_AUTO_TEST_CASE(elsewhere_any_host_is_taken_unless_some_are_named) {
  BOOST_TEST(ask("any.example", method::get, {}, "0.0.0.0") == 0);
  BOOST_TEST(ask("any.example", method::get, {}, "0.0.0.0", {"one.example"}) == 403);
}

BOOST_AUTO_TEST_CASE(pages_of_other_sites_may_read_nothing_and_change_nothing) {
  const auto post = [](std::vector<head_field> fields) {
    return ask("localhost:80", method::post, std::move(fields));
  };
  BOOST_TEST(post({}) == 0);
  BOOST_TEST(post({{"Sec-Fetch-Site", "same-origin"}}) == 0);
  BOOST_TEST(post({{"Sec-Fetch-Site", "none"}}) == 0);
  BOOST_TEST(post({{"Sec-Fetch-Site", "cross-site"}}) == 403);
  BOOST_TEST(post({{"Sec-Fetch-Site", "same-site"}}) == 403);
  BOOST_TEST(post({{"Origin", "http://localhost:80"}}) == 0);
  BOOST_TEST(post({{"Origin", "http://evil.example"}}) == 403);
  BOOST_TEST(post({{"Origin", "null"}}) == 403);
  BOOST_TEST(ask("localhost", method::del, {{"Origin", "http://evil.example"}}) == 403);
}

BOOST_AUTO_TEST_CASE(bodies_must_be_plain_json) {
  const auto taking = [](body_form body) {
    return route{.pattern = "/x",
                 .role = troupe::role::producer,
                 .what = {"do", "x", "Do it"},
                 .answers = {{200}},
                 .body = body,
                 .handle = {}};
  };
  const auto create = taking({"NewJob", 100});
  const auto cancel = taking(no_content(100));
  const auto get = taking({});
  for (const auto* type :
       {"application/json", "Application/JSON", "application/json; charset=utf-8",
        "application/json;charset=UTF-8", "application/json ; charset=\"utf-8\""})
    BOOST_TEST(send(create, {{"Content-Type", type}}, 2) == 0, type);
  for (const auto* type :
       {"", "text/plain", "application/jsonx", "application/json; charset=latin1",
        "application/x-www-form-urlencoded", "multipart/form-data"})
    BOOST_TEST(send(create, {{"Content-Type", type}}, 2) == 415, type);
  BOOST_TEST(send(create, {}, 0) == 415);
  BOOST_TEST(send(create, {{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}, 2)
             == 415);
  BOOST_TEST(send(cancel, {}, 0) == 0);
  BOOST_TEST(send(cancel, {}, 2) == 415);
  BOOST_TEST(send(get, {}, 5) == 0); // 413 follows
}
