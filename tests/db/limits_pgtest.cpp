// What bounds one statement: its time, the rows it has to change, the size of its answer; and
// streams, which need no such bound.
#include "db/statements.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const statement nap{"nap", "select pg_sleep($1::float8)"};
const statement show{"show", "select current_setting('statement_timeout')"};
const statement begin{"begin", "begin"};
const statement commit{"commit", "commit"};
const statement rollback{"rollback", "rollback"};
const statement set_local{"set_local", "set local statement_timeout = '7s'"};
const statement update{"update", "update t set a = a + 10 where a <= $1::int8"};

query nap_of(std::chrono::duration<double> time) {
  query q{nap};
  q.bind(time.count());
  return q;
}

struct server {
  test_database database{test_database::content::empty};
  connect_options options;
  connection on = [this] {
    database.exec("create table t (a int8 primary key); insert into t values (1), (2)");
    options.url = database.url();
    options.statement_timeout = 5s;
    return connect(options);
  }();

  std::string timeout_now() { return rows(on, query{show}).one().get<std::string>(0); }
  std::string stored() {
    return database.value("select string_agg(a::text, ',' order by a) from t");
  }
};

const db_failure* failed(const finished& answer) {
  return std::get_if<db_failure>(&answer.outcome);
}

/// Kilobytes.
long peak_memory() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_maxrss;
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(limits, server)

BOOST_AUTO_TEST_CASE(a_statement_has_less_time_than_its_connection_when_it_says_so) {
  auto why = refusal(on, nap_of(60s).timeout(50ms));
  BOOST_TEST((why.code == errc::timed_out));
  BOOST_TEST(why.sqlstate == "57014");
  BOOST_TEST(why.statement == "nap");
  BOOST_TEST(!why.poisons_connection);
  BOOST_TEST(timeout_now() == "5s");
}

BOOST_AUTO_TEST_CASE(a_statement_has_more_time_than_its_connection_when_it_says_so) {
  options.statement_timeout = 1500ms;
  on = connect(options);
  BOOST_TEST((refusal(on, nap_of(60s)).code == errc::timed_out));
  rows(on, nap_of(1700ms).timeout(60s));
  BOOST_TEST(timeout_now() == "1500ms");
  BOOST_TEST((refusal(on, nap_of(60s)).code == errc::timed_out));
}

BOOST_AUTO_TEST_CASE(the_time_of_a_statement_is_not_that_of_its_neighbours) {
  on.submit(nap_of(0s));
  on.submit(nap_of(60s).timeout(50ms));
  on.submit(query{show});
  on.submit(query{show}.timeout(1500ms));
  auto all = answers(on, 4);
  BOOST_TEST(!failed(all[0]));
  BOOST_REQUIRE(failed(all[1]));
  BOOST_TEST((failed(all[1])->code == errc::timed_out));
  BOOST_TEST(std::get<result>(all[2].outcome).one().get<std::string>(0) == "5s");
  BOOST_TEST(std::get<result>(all[3].outcome).one().get<std::string>(0) == "1500ms");
  BOOST_TEST(on.in_flight() == 0U);
}

BOOST_AUTO_TEST_CASE(inside_a_transaction_what_held_before_holds_afterwards) {
  rows(on, query{begin});
  BOOST_TEST(rows(on, query{show}.timeout(1500ms)).one().get<std::string>(0) == "1500ms");
  BOOST_TEST(timeout_now() == "5s");
  rows(on, query{set_local});
  BOOST_TEST(rows(on, query{show}.timeout(1500ms)).one().get<std::string>(0) == "1500ms");
  BOOST_TEST(timeout_now() == "7s");
  rows(on, query{commit});
  BOOST_TEST(timeout_now() == "5s");
}

BOOST_AUTO_TEST_CASE(inside_a_transaction_a_statement_out_of_time_aborts_it_and_nothing_stays) {
  rows(on, query{begin});
  BOOST_TEST((refusal(on, nap_of(60s).timeout(50ms)).code == errc::timed_out));
  BOOST_TEST((on.block() == block_state::failed));
  BOOST_TEST((refusal(on, query{show}.timeout(1s)).code == errc::aborted));
  rows(on, query{rollback});
  BOOST_TEST(timeout_now() == "5s");
}

BOOST_AUTO_TEST_CASE(a_time_of_its_own_works_in_a_group) {
  on.submit(query{begin}, sync_point::later);
  on.submit(query{show}.timeout(1500ms), sync_point::later);
  on.submit(query{show}, sync_point::later);
  on.submit(query{commit}.timeout(1500ms));
  auto all = answers(on, 4);
  BOOST_TEST(std::get<result>(all[1].outcome).one().get<std::string>(0) == "1500ms");
  BOOST_TEST(std::get<result>(all[2].outcome).one().get<std::string>(0) == "5s");
}

BOOST_AUTO_TEST_CASE(the_header_line_of_a_statement_is_its_time) {
  BOOST_TEST((sql::probe.timeout == 3s));
  BOOST_TEST((query{sql::probe}.timeout() == 3s));
  BOOST_TEST((query{sql::probe}.timeout(40ms).timeout() == 40ms));
  BOOST_TEST((query{sql::job_get}.timeout() == 0s));
  BOOST_TEST((query{dynamic_statement{"own", "select 1", 2s}}.timeout() == 2s));
}

BOOST_AUTO_TEST_CASE(a_change_of_another_number_of_rows_than_expected_is_stale) {
  BOOST_TEST(rows(on, query{update}.bind(std::int64_t{1}).expect_affected(1)).affected() == 1U);
  BOOST_TEST(stored() == "2,11");
  auto why = refusal(on, query{update}.bind(std::int64_t{1}).expect_affected(1));
  BOOST_TEST((why.code == errc::stale));
  BOOST_TEST(why.statement == "update");
  BOOST_TEST(!why.retryable);
  BOOST_TEST(!why.poisons_connection);
  // In a transaction the caller can still undo it.
  rows(on, query{begin});
  BOOST_TEST(
      (refusal(on, query{update}.bind(std::int64_t{99}).expect_affected(1)).code == errc::stale));
  BOOST_TEST((on.block() == block_state::open));
  rows(on, query{rollback});
  BOOST_TEST(stored() == "2,11");
}

BOOST_AUTO_TEST_CASE(an_answer_above_the_limit_is_refused_and_the_connection_lives) {
  options.max_result_bytes = 1024 * 1024;
  on = connect(options);
  const statement large{"large", "select repeat('x', 1000) from generate_series(1, 5000)"};
  auto why = refusal(on, query{large});
  BOOST_TEST((why.code == errc::too_large));
  BOOST_TEST(why.statement == "large");
  BOOST_TEST(!why.poisons_connection);
  BOOST_TEST(timeout_now() == "5s");
}

BOOST_AUTO_TEST_CASE(of_a_huge_answer_to_the_users_own_statement_little_is_ever_held) {
  options.max_result_bytes = 1024 * 1024;
  options.statement_timeout = 60s;
  on = connect(options);
  const dynamic_statement fits{
      "fits", "select repeat('x', 1000) as text, n from generate_series(1, 500) n"};
  auto some = rows(on, query{fits});
  BOOST_REQUIRE(some.rows() == 500);
  BOOST_TEST(some[499].get<std::string>(0) == std::string(1000, 'x'));
  BOOST_TEST(some[499].get<std::int32_t>(1) == 500);
  BOOST_TEST(some.command_tag() == "SELECT 500");
  const dynamic_statement huge{"huge", "select repeat('x', 1000) from generate_series(1, 200000)"};
  const long before = peak_memory();
  on.submit(query{begin}, sync_point::later);
  on.submit(query{huge}, sync_point::later);
  on.submit(query{show});
  auto all = answers(on, 3);
  BOOST_REQUIRE(failed(all[1]));
  BOOST_TEST((failed(all[1])->code == errc::too_large));
  // It was carried out, so the transaction goes on.
  BOOST_TEST(std::get<result>(all[2].outcome).one().get<std::string>(0) == "1min");
  BOOST_TEST((on.block() == block_state::open));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  BOOST_TEST(peak_memory() - before < 32 * 1024);
#else
  BOOST_TEST(before > 0);
#endif
}

BOOST_AUTO_TEST_CASE(of_a_huge_list_of_the_engines_own_little_is_ever_held) {
  for (const auto* list : {&sql::job_list, &sql::item_list, &sql::job_attempts})
    BOOST_TEST(list->by_rows, list->name);
  BOOST_TEST(
      !sql::job_claim.by_rows); // of as many jobs as there are free slots, and on the hot path
  options.max_result_bytes = 1024 * 1024;
  options.statement_timeout = 60s;
  on = connect(options);
  const statement list{.name = "list",
                       .text = "select repeat('x', 1000) from generate_series(1, $1::int8)",
                       .by_rows = true};
  for (int i = 0; i < 2; ++i) // with its Parse and without
    BOOST_TEST(rows(on, query{list}.bind(std::int64_t{500})).rows() == 500);
  const long before = peak_memory();
  BOOST_TEST((refusal(on, query{list}.bind(std::int64_t{200'000})).code == errc::too_large));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  BOOST_TEST(peak_memory() - before < 32 * 1024);
#else
  BOOST_TEST(before > 0);
#endif
}

BOOST_AUTO_TEST_CASE(rows_read_one_by_one_are_as_any_other) {
  const dynamic_statement mixed{
      "mixed", "select n, nullif(n, 2), null::text, 'a' || n from generate_series(1, 3) n"};
  const dynamic_statement none{"none", "select 1 where false"};
  const dynamic_statement change{"change", "update t set a = -a returning a"};
  const dynamic_statement late_error{"late_error",
                                     "select 10 / (3 - n) from generate_series(1, 5) n"};
  for (int round = 0; round < 3; ++round)
    for (const auto* each : {&mixed, &none, &change, &late_error})
      on.submit(query{*each});
  auto all = answers(on, 12);
  for (std::size_t round = 0; round < 12; round += 4) {
    const auto& three = std::get<result>(all[round].outcome);
    BOOST_REQUIRE(three.rows() == 3);
    BOOST_TEST(three[1].get<std::int32_t>(0) == 2);
    BOOST_TEST(three[1].is_null(1));
    BOOST_TEST(three[2].get<std::int32_t>(1) == 3);
    BOOST_TEST(three[2].is_null(2));
    BOOST_TEST(three[2].get<std::string>(3) == "a3");
    const auto& empty = std::get<result>(all[round + 1].outcome);
    BOOST_TEST(empty.rows() == 0);
    BOOST_TEST(empty.columns() == 1);
    BOOST_TEST(std::get<result>(all[round + 2].outcome).affected() == 2U);
    BOOST_TEST(std::get<result>(all[round + 2].outcome).rows() == 2);
    BOOST_REQUIRE(failed(all[round + 3]));
    BOOST_TEST(failed(all[round + 3])->sqlstate == "22012");
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_takes_typed_parameters_and_is_read_piece_by_piece) {
  const statement declare{"declare", "declare stream no scroll cursor for "
                                     "select n, $2::text || n from generate_series(1, $1::int4) n"};
  const statement fetch{"fetch", "fetch forward 400 from stream"};
  query open{declare};
  open.bind(std::int32_t{1000}).bind("it's ");
  on.submit(query{begin}, sync_point::later);
  on.submit(open, sync_point::later);
  on.submit(query{fetch});
  auto first = answers(on, 3);
  BOOST_REQUIRE(!failed(first[1]));
  BOOST_TEST(std::get<result>(first[2].outcome).rows() == 400);
  auto second = rows(on, query{fetch});
  BOOST_TEST(second[0].get<std::int32_t>(0) == 401);
  BOOST_TEST(second[0].get<std::string>(1) == "it's 401");
  BOOST_TEST(rows(on, query{fetch}).rows() == 200);
  BOOST_TEST(rows(on, query{fetch}).rows() == 0);
  rows(on, query{commit});
  // The same for a text made at run time.
  rows(on, query{begin});
  query own{dynamic_statement{"own", "declare stream cursor for select $1::int8 + 1"}};
  rows(on, own.bind(std::int64_t{41}));
  BOOST_TEST(rows(on, query{fetch}).one().get<std::int64_t>(0) == 42);
}

BOOST_AUTO_TEST_SUITE_END()
