// Pages composed of columns that are known and values that are bound, and cursors that fit only
// where they come from. That the pages are right is shown on a real server by launcher's
// session_pgtest.
#include "db/page_query.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;

namespace {

page_query over_accounts(const std::string& sql = "select id, \"na\"\"me\" from account") {
  return {
      query{dynamic_statement{"accounts", sql}},
      {{"id", column_type::integer}, {"na\"me", column_type::text}, {"made", column_type::time}}};
}

template<class Call>
std::string refused(Call call) {
  try {
    call();
    return "accepted";
  } catch (const engine_error& e) {
    BOOST_TEST(e.code() == errc::invalid_argument);
    return e.what();
  }
}

/// Without the comment at its head.
std::string text_of(const page_query& page) {
  return page.build().what().text;
}

} // namespace

BOOST_AUTO_TEST_SUITE(page_queries)

BOOST_AUTO_TEST_CASE(values_are_bound_and_names_are_quoted) {
  auto page = over_accounts();
  page.where("na\"me", compare::not_equal, std::string{"'; drop table account; --"})
      .where("id", compare::at_least, std::int64_t{7})
      .order_by({"na\"me", "id"}, direction::descending)
      .limit(20);
  BOOST_TEST(text_of(page)
             == "select * from (select id, \"na\"\"me\" from account\n) as page where true "
                " and \"na\"\"me\" <> $1 and \"id\" >= $2 order by \"na\"\"me\" desc, \"id\" desc "
                "limit $3\n");
  BOOST_TEST(page.build().size() == 3U);
}

BOOST_AUTO_TEST_CASE(the_queries_own_parameters_come_first) {
  query base{dynamic_statement{"accounts", "select id from account where amount > $1"}};
  base.bind(std::int64_t{5});
  page_query page{base, {{"id"}}};
  page.order_by({"id"}).where("id", compare::less, std::int64_t{9});
  BOOST_TEST(text_of(page).find("\"id\" < $2 order by \"id\" asc limit $3") != std::string::npos);
  BOOST_TEST(page.build().size() == 3U);
}

BOOST_AUTO_TEST_CASE(what_is_not_known_is_refused_by_name) {
  auto page = over_accounts();
  BOOST_TEST(refused([&] { page.where("secret", compare::equal, std::int64_t{1}); })
             == "there is no column 'secret' to filter or sort by");
  BOOST_TEST(refused([&] {
               page.order_by({"id", "1; drop table account"});
             })
             == "there is no column '1; drop table account' to filter or sort by");
  BOOST_TEST(refused([&] { page.where("id", compare::equal, std::string{"1"}); })
             == "column 'id' is compared with a value of another type");
  for (const int rows : {0, -1, page_query::max_limit + 1})
    BOOST_TEST(refused([&] { page.limit(rows); }) == "limit: 1 to 10000");
  BOOST_TEST(refused([&] { static_cast<void>(over_accounts().build()); })
             == "a page needs an order");
}

BOOST_AUTO_TEST_CASE(what_is_no_cursor_is_refused) {
  auto page = over_accounts();
  page.order_by({"id"});
  const std::vector<std::string> wrong{"x",          "xy",       "00",
                                       "3132330035", "31323300", std::string(5000, '0')};
  for (const auto& text : wrong)
    BOOST_TEST(refused([&] { page.after(text); }).find("cursor: ") == 0U, text);
  BOOST_CHECK_NO_THROW(page.after(""));
}

BOOST_AUTO_TEST_SUITE_END()
