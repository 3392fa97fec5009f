// Cursors: opaque, bound to their filters, and nothing else is one.
#include "http/cursor.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace troupe;
using namespace troupe::http;

namespace {

job_filter filter_of(std::optional<job_state> state, std::optional<std::string> queue,
                     std::optional<std::string> kind) {
  return {state, std::move(queue), std::move(kind)};
}

} // namespace

BOOST_AUTO_TEST_CASE(a_cursor_comes_back_as_the_id_it_was_made_of) {
  for (const std::int64_t id : {std::int64_t{1}, std::int64_t{255}, std::int64_t{65536},
                                std::numeric_limits<std::int64_t>::max()}) {
    const auto filter = filter_of(job_state::running, "q", std::nullopt);
    const auto text = make_cursor(job_id{id}, filter);
    BOOST_TEST(text.size() == 24U);
    BOOST_TEST((read_cursor(text, filter) == job_id{id}));
    BOOST_TEST(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_")
               == std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_of_other_filters_is_refused) {
  const auto text = make_cursor(job_id{17}, filter_of(std::nullopt, "a", "b"));
  for (const auto& other :
       {filter_of(std::nullopt, std::nullopt, std::nullopt), filter_of(std::nullopt, "b", "a"),
        filter_of(std::nullopt, "ab", std::nullopt), filter_of(std::nullopt, std::nullopt, "ab"),
        filter_of(job_state::pending, "a", "b"), filter_of(std::nullopt, "a", "c")})
    BOOST_TEST(!read_cursor(text, other));
}

BOOST_AUTO_TEST_CASE(a_cursor_of_another_search_is_refused) {
  const timestamp then{std::chrono::hours{1}};
  const std::vector<job_filter> searches{{},
                                         {.tags = {"a"}},
                                         {.tags = {"a", "b"}},
                                         {.tags = {"b", "a"}},
                                         {.tags = {"ab"}},
                                         {.tags = {"a"}, .limit_key = "b"},
                                         {.limit_key = "a"},
                                         {.created_from = then},
                                         {.created_before = then},
                                         {.created_from = then + std::chrono::microseconds{1}},
                                         {.created_from = then, .created_before = then},
                                         {.args = R"({"a":1})"},
                                         {.args = R"({"a":2})"},
                                         {.kind = "a"}};
  for (std::size_t i = 0; i < searches.size(); ++i)
    for (std::size_t j = 0; j < searches.size(); ++j)
      BOOST_TEST((read_cursor(make_cursor(job_id{17}, searches[i]), searches[j]) == job_id{17})
                     == (i == j),
                 i << " read as " << j);
}

BOOST_AUTO_TEST_CASE(a_cursor_without_a_search_is_what_older_nodes_make) {
  BOOST_TEST(make_cursor(job_id{17}, filter_of(job_state::running, "q", std::nullopt))
             == "AQAAAAAAAAAAEUvHwGa1ATCC");
}

BOOST_AUTO_TEST_CASE(a_changed_cursor_is_refused) {
  const job_filter none;
  const auto text = make_cursor(job_id{17}, none);
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    BOOST_TEST(!read_cursor(changed, none), "changed at " << i);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_cursor_is_refused) {
  const job_filter none;
  const auto text = make_cursor(job_id{17}, none);
  for (const auto& other : {std::string{}, std::string{"17"}, text.substr(1), text + "A",
                            std::string(24, '='), std::string(24, 'A'), std::string(5000, 'A'),
                            make_cursor(job_id{0}, none), make_cursor(job_id{-1}, none)})
    BOOST_TEST(!read_cursor(other, none), other);
}
