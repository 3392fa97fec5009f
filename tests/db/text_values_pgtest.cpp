// What a user's own SQL binds and reads: types beyond the engine's, compared with the server's
// text.
#include "db/query.hpp"
#include "db/result.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct server {
  connection on = connect(server_url());

  template<class... Arguments>
  row ask(const std::string& sql, const Arguments&... arguments) {
    return rows(on, make_query(sql, arguments...)).one();
  }
  /// A parameter as the server writes it, and its type there.
  template<class Argument>
  std::string seen(const Argument& value) {
    const row told = ask("select $1::text, pg_typeof($1)::text", value);
    return told.get<std::optional<std::string>>(0).value_or("NULL") + " "
           + told.get<std::string>(1);
  }
  /// Reads `type '...'` of each text as a string, which has to be what the server makes of it.
  void reads_as_text(const std::string& type, const std::vector<std::string>& texts) {
    for (const auto& text : texts) {
      const row both = ask("select v, v::text from (select $1::text::" + type + ") s(v)", text);
      BOOST_TEST(both.get<std::string>(0) == both.get<std::string>(1), type << " " << text);
    }
  }
  template<class Read>
  std::string complaint(Read read) {
    try {
      read();
    } catch (const engine_error& e) { // of which decode_error is one
      BOOST_TEST((e.code() == errc::invalid_argument));
      return e.what();
    }
    return "none";
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(text_values, server)

BOOST_AUTO_TEST_CASE(a_sum_of_bigints_is_read_as_a_number_when_it_is_one) {
  const auto sum = ask("select sum(v), sum(v)::text from unnest($1) v",
                       std::vector<std::int64_t>{1'000'000'007, 35});
  BOOST_TEST(sum.get<std::int64_t>(0) == 1'000'000'042);
  BOOST_TEST(sum.get<double>(0) == 1'000'000'042.0);
  BOOST_TEST(sum.get<std::string>(0) == "1000000042");
  BOOST_TEST(ask("select sum(v) from unnest('{}'::bigint[]) v")
                 .get<std::optional<std::int64_t>>(0)
                 .has_value()
             == false);
  const auto large = ask("select sum(v) as total from unnest($1) v",
                         std::vector<std::int64_t>(3, std::numeric_limits<std::int64_t>::max()));
  BOOST_TEST(large.get<std::string>(0) == "27670116110564327421");
  BOOST_TEST(
      complaint([&] { large.get<std::int64_t>(0); })
      == "column 0 (total) of statement select sum(v) as total from unnest($1) v is a numeric "
         "that bigint does not hold exactly; read it as std::string, or round it in the SQL");
}

BOOST_AUTO_TEST_CASE(numerics_keep_every_digit) {
  std::vector<std::string> texts{"0",
                                 "0.00",
                                 "-0.5",
                                 "1",
                                 "-1",
                                 "9999",
                                 "10000",
                                 "10001",
                                 "100000000",
                                 "123456789.000100",
                                 "0.00001",
                                 "0.0000000000000000000001",
                                 "1e30",
                                 "1e-30",
                                 "1e131071",
                                 "NaN",
                                 "Infinity",
                                 "-Infinity",
                                 "9223372036854775807",
                                 "-9223372036854775808",
                                 "9223372036854775808",
                                 "12345678901234567890.12345678901234567890",
                                 "1.10",
                                 "4.00000000",
                                 "10000.0001"};
  std::string digits;
  for (int i = 1; i < 40; ++i) {
    digits += static_cast<char>('0' + i % 10);
    texts.push_back(digits);
    texts.push_back("-" + digits + "." + digits);
    texts.push_back("0." + std::string(static_cast<std::size_t>(i), '0') + digits);
    texts.push_back(digits + std::string(static_cast<std::size_t>(i), '0'));
  }
  reads_as_text("numeric", texts);
}

BOOST_AUTO_TEST_CASE(a_numeric_is_an_integer_only_when_it_is_that_integer) {
  const auto integer = [&](const std::string& text) {
    return ask("select $1::text::numeric", text);
  };
  for (const auto* text : {"9223372036854775807", "-9223372036854775808", "0", "-0.000", "7.000"})
    BOOST_TEST(integer(text).get<std::int64_t>(0) == std::stoll(text));
  for (const auto* text :
       {"9223372036854775808", "-9223372036854775809", "0.5", "7.0001", "NaN", "Infinity"})
    BOOST_CHECK_THROW(integer(text).get<std::int64_t>(0), decode_error);
}

BOOST_AUTO_TEST_CASE(a_numeric_is_a_double_only_when_no_digit_is_lost) {
  const auto number = [&](const std::string& text) {
    return ask("select $1::text::numeric", text);
  };
  for (const auto* text : {"0", "0.1", "-1.5", "123456789.987654", "1e300", "1e-300", "0.30",
                           "9007199254740992", "1152921504606846976", "1.6666666666666667"})
    BOOST_TEST(number(text).get<double>(0) == std::stod(text));
  BOOST_TEST(std::isnan(number("NaN").get<double>(0)));
  BOOST_TEST(std::isinf(number("-Infinity").get<double>(0)));
  for (const auto* text :
       {"9007199254740993", "0.12345678901234567890", "1e400", "1e-400", "33.333333333333333333"})
    BOOST_CHECK_THROW(number(text).get<double>(0), decode_error);
}

BOOST_AUTO_TEST_CASE(dates_times_and_intervals_are_read_as_the_server_writes_them) {
  reads_as_text("date", {"2024-02-29", "2000-01-01", "1999-12-31", "0001-01-01", "0001-12-31 BC",
                         "4713-01-01 BC", "5874897-12-31", "1600-02-29", "infinity", "-infinity"});
  reads_as_text("time", {"00:00:00", "23:59:59.999999", "12:30:00.5", "24:00:00"});
  reads_as_text("timestamp", {"2024-02-29 12:00:00", "1999-12-31 23:59:59.999999", "infinity",
                              "-infinity", "0044-03-15 10:00:00 BC", "294276-12-31 23:59:59"});
  reads_as_text("timestamptz", {"2024-02-29 12:00:00+05", "1969-07-20 20:17:40.1Z", "infinity"});
  reads_as_text("interval",
                {"0", "1 year 2 mons 3 days 04:05:06.789", "-1 year -2 mons +3 days -04:05:06",
                 "1 mon -1 day", "-1 day +02:03:00", "-00:00:00.000001", "100:00:00", "1 year",
                 "-14 mons", "3 days -1 hour", "-9223372036854775808 microseconds"});
  reads_as_text("uuid", {"00112233-4455-6677-8899-aabbccddeeff"});
}

BOOST_AUTO_TEST_CASE(dates_and_moments_are_read_as_such) {
  const auto day = std::chrono::sys_days{std::chrono::year{2024} / 2 / 29};
  const auto told = ask("select $1, date '1999-12-31', timestamp '2024-02-29 01:00', "
                        "date 'infinity', null::date",
                        day);
  BOOST_TEST((told.get<std::chrono::sys_days>(0) == day));
  BOOST_TEST((told.get<std::chrono::sys_days>(1)
              == std::chrono::sys_days{std::chrono::year{1999} / 12 / 31}));
  BOOST_TEST((told.get<timestamp>(2) == day + 1h));
  BOOST_TEST((told.get<std::chrono::sys_days>(3) == std::chrono::sys_days::max()));
  BOOST_TEST(!told.get<std::optional<std::chrono::sys_days>>(4).has_value());
}

BOOST_AUTO_TEST_CASE(texts_of_every_kind_are_read) {
  rows(on, make_query("create type pg_temp.mood as enum ('sad', 'glücklich')"));
  const auto told =
      ask("select 'glücklich'::pg_temp.mood, 'ab'::char(4), 'x'::varchar(9), '<a/>'::xml, "
          "'plain', '{\"a\": 1}'::json, '[1]'::jsonb, '\\x00ff'::bytea, "
          "null::pg_temp.mood");
  BOOST_TEST(told.get<std::string>(0) == "glücklich");
  BOOST_TEST(told.get<std::string_view>(0) == "glücklich");
  BOOST_TEST(told.get<std::string>(1) == "ab  ");
  BOOST_TEST(told.get<std::string>(2) == "x");
  BOOST_TEST(told.get<std::string>(3) == "<a/>");
  BOOST_TEST(told.get<std::string>(4) == "plain");
  BOOST_TEST(told.get<std::string>(5) == R"({"a": 1})");
  BOOST_TEST(told.get<std::string_view>(6) == "[1]");
  BOOST_TEST(told.get<std::string>(7) == std::string("\0\xff", 2));
  BOOST_TEST(!told.get<std::optional<std::string>>(8).has_value());
}

BOOST_AUTO_TEST_CASE(reals_and_arrays_are_read) {
  const auto told = ask("select 1.5::real, array[1.5, -2]::float8[], array[1.10, 2]::numeric[], "
                        "array['a', 'b']::varchar[], array['2024-02-29']::date[], "
                        "array['2024-02-29 00:00Z']::timestamptz[]");
  BOOST_TEST(told.get<float>(0) == 1.5F);
  BOOST_TEST(told.get<double>(0) == 1.5);
  BOOST_TEST((told.get<std::vector<double>>(1) == std::vector{1.5, -2.0}));
  BOOST_TEST((told.get<std::vector<std::string>>(2) == std::vector<std::string>{"1.10", "2"}));
  BOOST_TEST((told.get<std::vector<std::string>>(3) == std::vector<std::string>{"a", "b"}));
  BOOST_TEST((told.get<std::vector<std::string>>(4) == std::vector<std::string>{"2024-02-29"}));
  BOOST_TEST((told.get<std::vector<timestamp>>(5)
              == std::vector<timestamp>{std::chrono::sys_days{std::chrono::year{2024} / 2 / 29}}));
}

BOOST_AUTO_TEST_CASE(a_type_that_cannot_be_read_is_named_with_its_column_and_what_to_do) {
  rows(on, make_query("create type pg_temp.pair as (a int, b int)"));
  const auto told =
      ask("select point(1, 2) as place, (1, 2)::pg_temp.pair as both, 1 as one, inet '::1'");
  BOOST_TEST(complaint([&] {
               told.get<std::string>(0);
             }).ends_with("is point, read as text; cast it to text in the SQL"));
  const auto own = complaint([&] { told.get<std::string>(1); });
  BOOST_TEST(own.starts_with("column 1 (both) of statement select point(1, 2) as place"), own);
  BOOST_TEST(own.find("is the type with oid ") != std::string::npos, own);
  BOOST_TEST(complaint([&] { told.get<std::string>(3); }).find("is inet, read as text")
             != std::string::npos);
  BOOST_TEST(complaint([&] { told.get<std::string>(2); }).find("is integer, read as text")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(integers_of_every_kind_are_bound) {
  BOOST_TEST(seen(std::size_t{7}) == "7 bigint");
  BOOST_TEST(seen(7LL) == "7 bigint");
  BOOST_TEST(seen(7ULL) == "7 bigint");
  BOOST_TEST(seen(4'000'000'000U) == "4000000000 bigint");
  BOOST_TEST(seen(std::uint16_t{65'535}) == "65535 integer");
  BOOST_TEST(seen(std::int8_t{-7}) == "-7 smallint");
  BOOST_TEST(seen(std::uint8_t{255}) == "255 smallint");
  BOOST_TEST(seen(7) == "7 integer");
  BOOST_TEST(seen(true) == "true boolean");
  BOOST_TEST(seen(1.5F) == "1.5 double precision");
  BOOST_TEST(seen(job_id{9}) == "9 bigint");
  BOOST_TEST(seen(std::optional<job_id>{}) == "NULL bigint");
  BOOST_TEST(seen(std::optional<unsigned>{}) == "NULL bigint");
  BOOST_TEST(seen(std::vector<job_id>{{1}, {2}}) == "{1,2} bigint[]");
  BOOST_TEST(complaint([] { make_query("select $1, $2", 1, std::uint64_t{1} << 63U); })
             == "$2: 9223372036854775808 is more than a bigint holds");
}

BOOST_AUTO_TEST_CASE(nothing_is_null_of_the_type_that_the_place_asks_for) {
  rows(on, make_query("create temp table t (a int, b uuid, c text)"));
  const std::optional<std::string> none;
  rows(on, make_query("insert into t values ($1, $2, $3)", std::nullopt, nullptr, none));
  BOOST_TEST(
      ask("select count(*) from t where a is null and b is null and c is null").get<std::int64_t>(0)
      == 1);
}

BOOST_AUTO_TEST_CASE(texts_bytes_and_json_are_bound) {
  BOOST_TEST(seen("abc") == "abc text");
  BOOST_TEST(seen(std::string_view{"abcdef"}.substr(0, 3)) == "abc text");
  BOOST_TEST(seen(json{R"({"a":1})"}) == R"({"a": 1} jsonb)");
  BOOST_TEST(seen(blob{std::string_view{"\0\xff", 2}}) == "\\x00ff bytea");
  BOOST_TEST(seen(std::vector<std::byte>{std::byte{0}, std::byte{255}}) == "\\x00ff bytea");
  BOOST_TEST(seen(std::vector<std::string>{"a", ""}) == "{a,\"\"} text[]");
  BOOST_TEST(seen(std::vector<std::string_view>{"a"}) == "{a} text[]");
  BOOST_TEST(seen(std::vector<std::optional<std::string>>{"a", std::nullopt}) == "{a,NULL} text[]");
  BOOST_TEST(seen(std::vector<double>{1.5}) == "{1.5} double precision[]");
  const auto cast = ask("select $1::uuid, $2::numeric, $3::date",
                        std::string{"00112233-4455-6677-8899-aabbccddeeff"}, "1.10", "2024-02-29");
  BOOST_TEST(cast.get<std::string>(1) == "1.10");
}

BOOST_AUTO_TEST_CASE(times_of_every_kind_are_bound) {
  const std::chrono::sys_days day = std::chrono::year{2024} / 2 / 29;
  BOOST_TEST(seen(day) == "2024-02-29 date");
  BOOST_TEST(seen(std::chrono::sys_seconds{day} + 1s)
             == "2024-02-29 00:00:01+00 timestamp with time zone");
  BOOST_TEST(seen(std::chrono::sys_time<std::chrono::nanoseconds>{day} + 1999ns)
             == "2024-02-29 00:00:00.000001+00 timestamp with time zone");
  BOOST_TEST(seen(std::chrono::sys_seconds::max()) == "infinity timestamp with time zone");
  BOOST_TEST(seen(std::chrono::sys_days::min()) == "-infinity date");
  BOOST_TEST(seen(90min) == "01:30:00 interval");
  BOOST_TEST(seen(-1500ms) == "-00:00:01.5 interval");
  BOOST_TEST(seen(std::optional<std::chrono::seconds>{}) == "NULL interval");
  query late{dynamic_statement{"select $1"}};
  late.bind(std::chrono::sys_days{std::chrono::days{2'147'000'000}});
  BOOST_TEST((refusal(on, late).code == errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_statement_is_named_after_its_text) {
  BOOST_TEST(name_of("select\n  1,\t2 ") == "select 1, 2");
  BOOST_TEST(name_of("").empty());
  BOOST_TEST(name_of(std::string(60, 'x')) == std::string(60, 'x'));
  BOOST_TEST(name_of(std::string(61, 'x')) == std::string(57, 'x') + "...");
  const auto cut = name_of("select '" + std::string(48, 'x') + "üüüüüü'");
  BOOST_TEST(cut == "select '" + std::string(48, 'x') + "...");
  BOOST_TEST(refusal(on, make_query("select\nnonsense")).statement == "select nonsense");
}

BOOST_AUTO_TEST_SUITE_END()
