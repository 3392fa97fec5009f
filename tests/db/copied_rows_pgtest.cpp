// What comes by COPY in binary is read as what comes by a query.
#include "db/copied_rows.hpp"
#include "db/work_request.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

struct copied {
  test_database database{test_database::content::empty};
  connection on = connect(database.url());

  std::vector<std::string> chunks(const query& what) {
    std::vector<std::string> all;
    on.copy(what);
    for (;;) {
      while (auto chunk = on.copy_chunk())
        all.push_back(std::move(*chunk));
      if (on.next())
        return all;
      BOOST_REQUIRE(!on.broken());
      step(on);
    }
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(copied_row_sets, copied)

BOOST_AUTO_TEST_CASE(rows_are_the_same_as_by_a_query) {
  const dynamic_statement what{
      "some", "select n, repeat('x', n), case when n % 2 = 0 then array[n, 2] end, now() as at "
              "from generate_series(1, $1) n"};
  const auto expected = rows(on, query{what}.bind(std::int32_t{500}));
  copied_rows reader{rows(on, query{what}.bind(std::int32_t{0}))};
  int row = 0, parts = 0;
  for (const auto& chunk : chunks(as_copy(query{what}.bind(std::int32_t{500})))) {
    const auto some = reader.take(chunk);
    ++parts;
    for (int i = 0; i < some.rows(); ++i, ++row) {
      BOOST_TEST(some[i].get<std::int32_t>(0) == expected[row].get<std::int32_t>(0));
      BOOST_TEST(some[i].get<std::string>(1) == expected[row].get<std::string>(1));
      BOOST_TEST((some[i].get<std::optional<std::vector<std::int32_t>>>(2)
                  == expected[row].get<std::optional<std::vector<std::int32_t>>>(2)));
      BOOST_TEST((some[i].get<timestamp>(some.column("at")) > timestamp{}));
    }
  }
  BOOST_TEST(row == 500);
  BOOST_TEST(parts > 1);
}

BOOST_AUTO_TEST_CASE(no_rows_are_no_rows_and_other_bytes_are_refused) {
  const dynamic_statement what{"none", "select 1 where false"};
  copied_rows reader{rows(on, query{what})};
  for (const auto& chunk : chunks(as_copy(query{what})))
    BOOST_TEST(reader.take(chunk).empty());
  const auto columns = rows(on, query{what});
  const auto whole = chunks(as_copy(query{dynamic_statement{"one", "select 1"}})).at(0);
  BOOST_TEST(copied_rows{columns}.take(whole).rows() == 1);
  BOOST_CHECK_THROW(copied_rows{columns}.take("1\n"), decode_error);
  BOOST_CHECK_THROW(copied_rows{columns}.take("1,2,3,4,5,6,7,8,9,0\n, no header"), decode_error);
  BOOST_CHECK_THROW(copied_rows{columns}.take(whole.substr(0, 23)), decode_error);
  const auto two = chunks(as_copy(query{dynamic_statement{"two", "select 1, 2"}})).at(0);
  BOOST_CHECK_THROW(copied_rows{columns}.take(two), decode_error);
}

BOOST_AUTO_TEST_SUITE_END()
