// The route table: what is found, what is refused and how, and the decoding of paths and queries.
#include "http/router.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>
#include <stdexcept>
#include <string>

using namespace troupe::http;
using troupe::job_id;
using troupe::role;

namespace {

void answer_nothing(const request_view&, const responder&) {}

/// A whole route; what a test is about is changed in it.
route whole(method verb, std::string_view pattern, std::string_view id) {
  return {.verb = verb,
          .pattern = pattern,
          .role = role::viewer,
          .what = {id, "jobs", "Do it"},
          .answers = {{200, "Job"}},
          .handle = answer_nothing};
}

struct table_fixture {
  table_fixture() {
    table.add(whole(method::get, "/jobs", "list"));
    table.add(whole(method::post, "/jobs", "create"));
    table.add(whole(method::post, "/jobs/bulk", "create_many"));
    table.add(whole(method::get, "/jobs/{id}", "get"));
    table.add(whole(method::get, "/", "index"));
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
  const auto refused = std::get<response>(table.match(method::get, "/nothing"));
  BOOST_TEST(refused.fault->detail == "there is nothing at this path; /docs shows what there is");
}

BOOST_AUTO_TEST_CASE(a_method_the_path_lacks_is_405_with_allow) {
  const auto refused = std::get<response>(table.match(method::put, "/jobs"));
  BOOST_TEST(refused.status == 405);
  BOOST_TEST(refused.allow == "GET, HEAD, POST, OPTIONS");
  BOOST_TEST(std::get<response>(table.match(method::trace, "/jobs/17")).allow
             == "GET, HEAD, OPTIONS");
}

BOOST_AUTO_TEST_CASE(dangerous_paths_are_400) {
  for (const auto* path : {"/jobs/..", "/./jobs", "/jobs/%2e%2E", "/jobs/a%2fb", "/jobs/a%5Cb",
                           "/jobs/%00", "/jobs/%", "/jobs/%2", "/jobs/%zz"})
    BOOST_TEST(status(method::get, path) == 400, path);
}

BOOST_AUTO_TEST_CASE(escapes_in_a_path_are_decoded) {
  BOOST_TEST(std::get<route_match>(table.match(method::get, "/%6Aobs/1%37")).param == "17");
}

BOOST_AUTO_TEST_CASE(options_tell_what_a_path_takes_and_what_all_do) {
  const auto of = [&](std::string_view path) {
    return std::get<response>(table.match(method::options, path));
  };
  BOOST_TEST(of("/jobs").status == 204);
  BOOST_TEST(of("/jobs").allow == "GET, HEAD, POST, OPTIONS");
  BOOST_TEST(of("/jobs/17").allow == "GET, HEAD, OPTIONS");
  BOOST_TEST(of("/jobs/bulk").allow == "POST, GET, HEAD, OPTIONS");
  BOOST_TEST(of("*").status == 204);
  BOOST_TEST(of("*").allow == "GET, HEAD, POST, OPTIONS");
  BOOST_TEST(of("/nothing").status == 404);
}

BOOST_AUTO_TEST_CASE(an_incomplete_route_or_one_that_is_there_is_a_fault_of_ours) {
  const auto refuses = [&](const std::function<void(route&)>& change) {
    auto entry = whole(method::get, "/x", "x");
    change(entry);
    BOOST_CHECK_THROW(table.add(std::move(entry)), std::logic_error);
  };
  refuses([](route& r) { r.handle = {}; });
  refuses([](route& r) { r.pattern = "x"; });
  refuses([](route& r) { r.what.id = {}; });
  refuses([](route& r) { r.what.tag = {}; });
  refuses([](route& r) { r.what.summary = {}; });
  refuses([](route& r) { r.body = {"Job", 0}; });
  refuses([](route& r) { r.body = {"", 10}; });
  refuses([](route& r) { r.what.id = "list"; });
  refuses([](route& r) { r.pattern = "/jobs"; });
  table.add(whole(method::get, "/x", "x"));
}

// Whether an initialiser that leaves a member out compiles.
template<class R>
concept made_whole = requires {
  R{.pattern = "/",
    .role = role::viewer,
    .what = {"a", "b", "c"},
    .answers = {{200}},
    .handle = {}};
};
template<class R>
concept made_without_role = requires {
  R{.pattern = "/", .what = {"a", "b", "c"}, .answers = {{200}}, .handle = {}};
};
template<class R>
concept made_without_purpose = requires {
  R{.pattern = "/", .role = role::viewer, .answers = {{200}}, .handle = {}};
};
template<class R>
concept made_without_answers = requires {
  R{.pattern = "/", .role = role::viewer, .what = {"a", "b", "c"}, .handle = {}};
};
static_assert(made_whole<route>);
static_assert(!made_without_role<route>);
static_assert(!made_without_purpose<route>);
static_assert(!made_without_answers<route>);

BOOST_AUTO_TEST_CASE(what_has_no_query_refuses_one_below_api) {
  const auto status_of = [&](std::string_view path, std::string_view query) {
    request_view request;
    request.query = query;
    int status = 0;
    const auto found = std::get<route_match>(table.match(method::get, path)).found;
    found->handle(request, [&](const response& answer) { status = answer.status; });
    return status;
  };
  const auto ok = [](const request_view&, const responder& respond) {
    respond(json_response(200, "{}"));
  };
  for (const auto* path : {"/api/none", "/api/some", "/page"}) {
    auto entry = whole(method::get, path, path);
    entry.handle = ok;
    if (entry.pattern == "/api/some")
      entry.query = {"Queue"};
    table.add(std::move(entry));
  }
  BOOST_TEST(status_of("/api/none", "") == 200);
  BOOST_TEST(status_of("/api/none", "a=1") == 400);
  BOOST_TEST(status_of("/api/some", "a=1") == 200); // its reader judges
  BOOST_TEST(status_of("/page", "a=1") == 200);
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
