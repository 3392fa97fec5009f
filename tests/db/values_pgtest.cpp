// Every parameter type to the server and back in binary, at the ends of its range.
#include "db/query.hpp"
#include "db/result.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct server {
  connection on = connect(server_url());

  template<class T, class Bind>
  T echo(const statement& what, Bind bind) {
    query q{what};
    bind(q);
    return rows(on, q).one().template get<T>(0);
  }
  template<class T>
  void returns(const statement& what, const T& value) {
    BOOST_TEST((echo<T>(what, [&](query& q) { q.bind(value); }) == value));
    BOOST_TEST((echo<std::optional<T>>(what, [&](query& q) { q.bind(std::optional<T>{value}); })
                == std::optional<T>{value}));
    BOOST_TEST((echo<std::optional<T>>(what, [&](query& q) { q.bind(std::optional<T>{}); })
                == std::nullopt));
  }
  std::string text(const statement& what, const std::function<void(query&)>& bind) {
    query q{what};
    bind(q);
    return rows(on, q).one().get<std::string>(0);
  }
};

const statement echo_int8{"echo_int8", "select $1::int8"};
const statement echo_int4{"echo_int4", "select $1::int4"};
const statement echo_int2{"echo_int2", "select $1::int2"};
const statement echo_bool{"echo_bool", "select $1::bool"};
const statement echo_float8{"echo_float8", "select $1::float8"};
const statement echo_text{"echo_text", "select $1::text"};
const statement echo_bytea{"echo_bytea", "select $1::bytea"};
const statement echo_jsonb{"echo_jsonb", "select $1::jsonb"};
const statement echo_time{"echo_time", "select $1::timestamptz"};
const statement time_text{"time_text", "select ($1::timestamptz at time zone 'UTC')::text"};
const statement echo_int8s{"echo_int8s", "select $1::int8[]"};
const statement echo_int4s{"echo_int4s", "select $1::int4[]"};
const statement echo_int2s{"echo_int2s", "select $1::int2[]"};
const statement echo_bools{"echo_bools", "select $1::bool[]"};
const statement echo_texts{"echo_texts", "select $1::text[]"};
const statement text_of_texts{"text_of_texts", "select $1::text[]::text"};
const statement text_of_jsons{"text_of_jsons", "select $1::jsonb[]::text"};
const statement text_of_times{"text_of_times", "select $1::timestamptz[]::text"};
const statement text_of_int8s{"text_of_int8s", "select $1::int8[]::text"};

} // namespace

BOOST_FIXTURE_TEST_SUITE(values, server)

BOOST_AUTO_TEST_CASE(integers_keep_their_ends) {
  for (auto v : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}, std::int64_t{0},
                 std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::max()})
    returns(echo_int8, v);
  for (auto v : {std::numeric_limits<std::int32_t>::min(), -1, 0, 0x01020304,
                 std::numeric_limits<std::int32_t>::max()})
    returns(echo_int4, v);
  for (auto v : {std::numeric_limits<std::int16_t>::min(), std::int16_t{0x0102},
                 std::numeric_limits<std::int16_t>::max()})
    returns(echo_int2, v);
}

BOOST_AUTO_TEST_CASE(booleans_and_doubles) {
  returns(echo_bool, true);
  returns(echo_bool, false);
  for (auto v : {0.0, -1.5, 1e308, std::numeric_limits<double>::infinity()})
    returns(echo_float8, v);
}

BOOST_AUTO_TEST_CASE(texts_keep_every_character) {
  for (const std::string& v : {std::string{}, std::string{"plain"}, std::string{"naïve 日本 🜁"},
                               std::string{"'\"\\\n\t\x01"}, std::string(1'000'000, 'x')})
    returns(echo_text, v);
  BOOST_TEST(text(echo_text, [](query& q) { q.bind("a literal, not a bool"); })
             == "a literal, not a bool");
  query null{echo_text};
  null.bind(static_cast<const char*>(nullptr));
  BOOST_TEST(rows(on, null).one().is_null(0));
}

BOOST_AUTO_TEST_CASE(bytes_keep_every_value) {
  std::string all;
  for (int i = 0; i < 256; ++i)
    all.push_back(static_cast<char>(i));
  BOOST_TEST(text(echo_bytea, [&](query& q) { q.bind_bytes(all); }) == all);
}

BOOST_AUTO_TEST_CASE(json_is_parsed_by_the_server) {
  BOOST_TEST(text(echo_jsonb, [](query& q) { q.bind_jsonb(R"({"b": [1, null],"a":"ü"})"); })
             == R"({"a": "ü", "b": [1, null]})");
  BOOST_TEST(text(echo_jsonb, [](query& q) { q.bind_jsonb(std::optional<std::string>{"1"}); })
             == "1");
  query null{echo_jsonb};
  null.bind_jsonb(std::optional<std::string>{});
  BOOST_TEST(rows(on, null).one().is_null(0));
  query wrong{echo_jsonb};
  wrong.bind_jsonb("{");
  BOOST_TEST((refusal(on, wrong).code == errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(times_keep_their_microseconds_before_and_after_2000) {
  timestamp year_2000 = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};
  for (auto v : {timestamp{}, year_2000, year_2000 - 1us, year_2000 + 1us,
                 timestamp{std::chrono::sys_days{std::chrono::year{1582} / 10 / 15}},
                 timestamp{std::chrono::sys_days{std::chrono::year{2262} / 4 / 11}} + 123456us,
                 timestamp::min(), timestamp::max()})
    returns(echo_time, v);
  timestamp moon = std::chrono::sys_days{std::chrono::year{1969} / 7 / 20} + 20h + 17min + 40s;
  BOOST_TEST(text(time_text, [&](query& q) { q.bind(moon); }) == "1969-07-20 20:17:40");
  BOOST_TEST(text(time_text, [](query& q) { q.bind(timestamp::max()); }) == "infinity");
}

BOOST_AUTO_TEST_CASE(a_time_that_postgresql_cannot_hold_is_an_error_and_not_another_time) {
  query q{echo_time};
  q.bind(timestamp::min() + 1us);
  BOOST_TEST((refusal(on, q).code == errc::invalid_argument));
  // The other end of our calendar lies within PostgreSQL's, whose own end is told as "never".
  returns(echo_time, timestamp::max() - 1us);
  const statement last{"last", "select timestamptz '294276-12-31 23:59:59Z'"};
  BOOST_TEST((rows(on, query{last}).one().get<timestamp>(0) == timestamp::max()));
}

BOOST_AUTO_TEST_CASE(arrays_empty_and_full) {
  returns(echo_int8s, std::vector<std::int64_t>{});
  returns(echo_int8s, std::vector<std::int64_t>{1, -1, std::numeric_limits<std::int64_t>::max()});
  returns(echo_int4s, std::vector<std::int32_t>{});
  returns(echo_int4s, std::vector<std::int32_t>{7, -7});
  returns(echo_int2s, std::vector<std::int16_t>{});
  returns(echo_int2s, std::vector<std::int16_t>{7, -7});
  returns(echo_bools, std::vector<bool>{true, false, true});
  returns(echo_texts, std::vector<std::string>{});
  returns(echo_texts, std::vector<std::string>{"", "NULL", "a,b", "{\"}", "日本"});
  returns(echo_int8s, std::vector<std::int64_t>(100'000, 5));
}

BOOST_AUTO_TEST_CASE(arrays_with_null_elements) {
  BOOST_TEST(text(text_of_texts,
                  [](query& q) {
                    q.bind_text_array({"a", "", "NULL"});
                  })
             == R"({a,NULL,"NULL"})");
  BOOST_TEST(text(text_of_texts, [](query& q) { q.bind_text_array({}); }) == "{}");
  BOOST_TEST(text(text_of_jsons,
                  [](query& q) {
                    q.bind_jsonb_array({"1", "", "null"});
                  })
             == "{1,NULL,\"null\"}");
  BOOST_TEST(text(text_of_times,
                  [](query& q) {
                    q.bind(std::vector<std::optional<timestamp>>{timestamp{}, std::nullopt});
                  })
             == R"({"1970-01-01 00:00:00+00",NULL})");
  BOOST_TEST(text(text_of_int8s,
                  [](query& q) {
                    q.bind(std::vector<std::optional<std::int64_t>>{1, std::nullopt});
                  })
             == "{1,NULL}");
  query q{echo_texts};
  q.bind_text_array({"a", ""});
  auto one = rows(on, q).one();
  BOOST_CHECK_THROW(one.get<std::vector<std::string>>(0), decode_error);
}

BOOST_AUTO_TEST_CASE(a_nul_in_a_text_is_refused_and_nothing_is_cut) {
  using namespace std::string_literals;
  query single{echo_text};
  single.bind("admin\0evil"s);
  auto why = refusal(on, single);
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(why.sqlstate == "22021");
  query list{echo_texts};
  list.bind(std::vector<std::string>{"fine", "admin\0evil"s});
  BOOST_TEST(refusal(on, list).sqlstate == "22021");
  query broken{echo_text};
  broken.bind("\xff\xfe");
  BOOST_TEST(refusal(on, broken).sqlstate == "22021");
  query json{echo_jsonb};
  json.bind_jsonb(R"({"a":"\u0000"})");
  BOOST_TEST((refusal(on, json).code == errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_number_that_does_not_fit_its_type_is_an_error_and_not_another_number) {
  const statement rows_overflow{"rows_overflow", "select (10::numeric ^ n)::int8 "
                                                 "from generate_series(17, 20) n"};
  auto why = refusal(on, query{rows_overflow});
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(why.sqlstate == "22003");
  const statement sum{"sum", "select $1::int4 + 1"};
  query q{sum};
  q.bind(std::numeric_limits<std::int32_t>::max());
  BOOST_TEST(refusal(on, q).sqlstate == "22003");
}

BOOST_AUTO_TEST_CASE(a_column_read_as_another_type_names_column_and_statement) {
  const statement mixed{"mixed", "select 1::int4 as number, null::int8 as nothing, 2::numeric"};
  auto one = rows(on, query{mixed}).one();
  BOOST_TEST(one.get<std::int32_t>(0) == 1);
  auto says = [&](auto read, const std::string& wanted) {
    BOOST_CHECK_EXCEPTION(read(), decode_error, [&](const decode_error& error) {
      BOOST_TEST(error.what() == wanted);
      return true;
    });
  };
  says([&] { one.get<std::int64_t>(0); },
       "column 0 (number) of statement mixed is integer, read as bigint");
  says([&] { one.get<std::string>(0); },
       "column 0 (number) of statement mixed is integer, read as text; cast it to text in the SQL");
  says([&] { one.get<std::int64_t>(1); },
       "column 1 (nothing) of statement mixed is NULL, read without std::optional");
  says([&] { one.get<std::int32_t>(2); },
       "column 2 (numeric) of statement mixed is numeric, read as integer");
  says([&] { one.get<bool>(3); }, "column 3 of statement mixed does not exist");
  says([&] { one.get<bool>(-1); }, "column -1 of statement mixed does not exist");
  // A NULL of the wrong type is wrong, too.
  says([&] { one.get<std::optional<std::string>>(1); },
       "column 1 (nothing) of statement mixed is bigint, read as text; cast it to text in the SQL");
}

BOOST_AUTO_TEST_CASE(rows_that_are_not_there_are_errors) {
  const statement two{"two", "select generate_series(1, 2)"};
  const statement none{"none", "select 1 where false"};
  auto some = rows(on, query{two});
  BOOST_TEST(some.rows() == 2);
  BOOST_CHECK_THROW(some.one(), decode_error);
  BOOST_CHECK_THROW(some[2], decode_error);
  BOOST_CHECK_THROW(some[-1], decode_error);
  BOOST_CHECK_THROW(rows(on, query{none}).one(), decode_error);
  BOOST_TEST(result{}.empty());
  BOOST_CHECK_THROW(result{}.one(), decode_error);
}

BOOST_AUTO_TEST_CASE(affected_counts_changes_and_not_rows_read) {
  const statement make{"make", "create temp table t (a int)"};
  const statement insert{"insert", "insert into t select generate_series(1, 5)"};
  const statement change{"change", "update t set a = 0 where a > 2 returning a"};
  const statement read{"read", "select * from t"};
  BOOST_TEST(rows(on, query{make}).affected() == 0U);
  BOOST_TEST(rows(on, query{insert}).affected() == 5U);
  BOOST_TEST(rows(on, query{change}).affected() == 3U);
  BOOST_TEST(rows(on, query{read}).affected() == 0U);
}

BOOST_AUTO_TEST_CASE(a_result_outlives_its_connection) {
  std::optional<row> kept;
  {
    auto other = connect(server_url());
    query q{echo_text};
    q.bind("still here");
    kept = rows(other, q).one();
  }
  BOOST_TEST(kept->get<std::string_view>(0) == "still here");
  BOOST_CHECK_THROW(kept->get<std::string_view>(1), decode_error);
}

BOOST_AUTO_TEST_CASE(a_query_can_be_copied_moved_and_used_again) {
  query first{echo_text};
  first.bind("x");
  query second = first;
  query third = std::move(first);
  BOOST_TEST(rows(on, second).one().get<std::string>(0) == "x");
  BOOST_TEST(rows(on, third).one().get<std::string>(0) == "x");
  BOOST_TEST(rows(on, third).one().get<std::string>(0) == "x");
}

BOOST_AUTO_TEST_SUITE_END()
