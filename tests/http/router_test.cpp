// The route table: what is found, what is refused and how, and the decoding of paths and queries.
#include "http/router.hpp"

#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <string>

using namespace troupe::http;
using troupe::job_id;

namespace {

void answer_nothing(const request_view&, const responder&) {}

struct table_fixture {
  table_fixture() {
    table.add({method::get, "/jobs", "viewer", 0, false, answer_nothing});
    table.add({method::post, "/jobs", "producer", 10, true, answer_nothing});
    table.add({method::post, "/jobs/bulk", "producer", 10, true, answer_nothing});
    table.add({method::get, "/jobs/{id}", "viewer", 0, false, answer_nothing});
    table.add({method::get, "/", "viewer", 0, false, answer_nothing});
  }

  int status(method verb, std::string_view path) const {
    const auto matched = table.match(verb, path);
    const auto* refused = std::get_if<response>(&matched);
    return refused != nullptr ? refused->status : 200;
  }

  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(routes, table_fixture)

BOOST_AUTO_TEST_CASE(a_route_is_found_by_method_and_path) {
  const auto found = std::get<route_match>(table.match(method::get, "/jobs/17"));
  BOOST_TEST(found.found->pattern == "/jobs/{id}");
  BOOST_TEST(found.param == "17");
  BOOST_TEST(std::get<route_match>(table.match(method::post, "/jobs/bulk")).found->pattern
             == "/jobs/bulk");
  BOOST_TEST(std::get<route_match>(table.match(method::get, "/")).found->pattern == "/");
}

BOOST_AUTO_TEST_CASE(head_is_served_by_get) {
  BOOST_TEST(status(method::head, "/jobs") == 200);
  BOOST_TEST(status(method::head, "/jobs/17") == 200);
}

BOOST_AUTO_TEST_CASE(an_unknown_path_is_404) {
  for (const auto* path : {"/nothing", "/jobs/", "//jobs", "/jobs//", "/JOBS", "/jobs/1/2",
                           "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r"})
    BOOST_TEST(status(method::get, path) == 404, path);
}

BOOST_AUTO_TEST_CASE(a_method_the_path_lacks_is_405_with_allow) {
  const auto refused = std::get<response>(table.match(method::put, "/jobs"));
  BOOST_TEST(refused.status == 405);
  BOOST_TEST(refused.allow == "GET, HEAD, POST");
  BOOST_TEST(std::get<response>(table.match(method::trace, "/jobs/17")).allow == "GET, HEAD");
}

BOOST_AUTO_TEST_CASE(dangerous_paths_are_400) {
  for (const auto* path : {"/jobs/..", "/./jobs", "/jobs/%2e%2E", "/jobs/a%2fb", "/jobs/a%5Cb",
                           "/jobs/%00", "/jobs/%", "/jobs/%2", "/jobs/%zz"})
    BOOST_TEST(status(method::get, path) == 400, path);
}

BOOST_AUTO_TEST_CASE(escapes_in_a_path_are_decoded) {
  BOOST_TEST(std::get<route_match>(table.match(method::get, "/%6Aobs/1%37")).param == "17");
}

BOOST_AUTO_TEST_CASE(a_route_without_role_or_handler_or_twice_is_a_fault_of_ours) {
  BOOST_CHECK_THROW(table.add({method::get, "/x", "", 0, false, answer_nothing}), std::logic_error);
  BOOST_CHECK_THROW(table.add({method::get, "/x", "viewer", 0, false, {}}), std::logic_error);
  BOOST_CHECK_THROW(table.add({method::get, "/jobs", "viewer", 0, false, answer_nothing}),
                    std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(a_query_is_decoded_and_names_come_once) {
  const auto read = parse_query("a=1&b=x%20y+z&&c&d=%C3%A4");
  BOOST_REQUIRE(read);
  BOOST_REQUIRE(read->size() == 4U);
  BOOST_TEST(read->at(1).value == "x y z");
  BOOST_TEST(read->at(2).name == "c");
  BOOST_TEST(read->at(3).value == "\xC3\xA4");
  BOOST_TEST(parse_query("")->empty());
  for (const auto* query : {"a=1&a=2", "a=%", "a=%0", "a=%00", "%zz=1", "a=1&%61=2"})
    BOOST_TEST(!parse_query(query), query);
}

BOOST_AUTO_TEST_CASE(an_id_is_a_positive_bigint) {
  BOOST_TEST((parse_id("1") == job_id{1}));
  BOOST_TEST((parse_id("9223372036854775807") == job_id{9223372036854775807}));
  for (const auto* text : {"0", "", "-1", "+1", "01", "1 ", " 1", "1.0", "1e3", "0x1", "abc",
                           "9223372036854775808", "18446744073709551617", "bulk"})
    BOOST_TEST(!parse_id(text), text);
}
