// COPY in both directions on a connection that has statements before and after it, its parameters,
// and how it ends otherwise.
#include "tests/db/patient_connection.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>
#include <poll.h>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;
using copy_state = connection::copy_state;

namespace {

const statement one{"one", "select 1::int8"};
const statement begin{"begin", "begin"};
const statement rollback{"rollback", "rollback"};
const statement copy_in{"copy_in", "-- rows\ncopy t from stdin (format csv)"};
const statement copy_out{
    "copy_out", "copy (select a, b from t where a <= $1 order by a) to stdout (format csv)"};
const statement much{"much",
                     "copy (select repeat('x', 1000) from generate_series(1, $1)) to stdout"};

struct outcome {
  std::string rows;
  finished answer;
};

const db_failure* failed(const finished& answer) {
  return std::get_if<db_failure>(&answer.outcome);
}

struct table {
  test_database database{test_database::content::empty};
  connection on = [this] {
    database.exec("create table t (a int8 primary key, b text)");
    return connect_patiently(database.url()); // a COPY lasts until we have taken or sent it all
  }();

  /// Reads a COPY to its end.
  outcome read(const query& q) {
    auto token = on.copy(q);
    outcome all;
    for (;;) {
      while (auto chunk = on.copy_chunk())
        all.rows += *chunk;
      if (auto answer = on.next()) {
        BOOST_REQUIRE(answer->token == token);
        all.answer = std::move(*answer);
        return all;
      }
      BOOST_REQUIRE(!on.broken());
      step(on);
    }
  }
  std::string text(const query& q) {
    auto all = read(q);
    if (const auto* why = failed(all.answer))
      BOOST_FAIL(why->message);
    return all.rows;
  }
  void put(std::string_view bytes) {
    while (on.copying() == copy_state::starting)
      step(on);
    while (on.copying() == copy_state::in && !on.copy_put(bytes))
      make_room();
  }
  void make_room() {
    if (!on.wants_write())
      return;
    pollfd watched{on.socket(), POLLIN | POLLOUT, 0};
    BOOST_REQUIRE(::poll(&watched, 1, std::chrono::milliseconds{patience}.count()) == 1);
    on.on_writable();
    if (watched.revents & POLLIN)
      on.on_readable();
  }
  finished end() {
    on.copy_end();
    return std::move(answers(on, 1).front());
  }
  bool usable() { return rows(on, query{one}).one().get<std::int64_t>(0) == 1; }
  std::string count() { return database.value("select count(*) from t"); }
};

/// A COPY of the expression with parameters written in, as the server sees it.
query expression(const dynamic_statement& what) {
  return query{what};
}

dynamic_statement selecting(const std::string& what) {
  return dynamic_statement{"selecting", "copy (select " + what + ") to stdout"};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(copying, table)

BOOST_AUTO_TEST_CASE(rows_go_in_and_come_out_between_statements) {
  BOOST_TEST(usable());
  on.copy(query{copy_in});
  put("1,one\n2,\"t");
  put("wo\"\n");
  auto answer = end();
  BOOST_REQUIRE(!failed(answer));
  BOOST_TEST(std::get<result>(answer.outcome).affected() == 2U);
  BOOST_TEST(std::get<result>(answer.outcome).command_tag() == "COPY 2");
  BOOST_TEST((on.copying() == copy_state::none));
  BOOST_TEST(on.in_flight() == 0U);
  BOOST_TEST(usable());
  BOOST_TEST(text(query{copy_out}.bind(std::int64_t{1})) == "1,one\n");
  BOOST_TEST(text(query{copy_out}.bind(std::int64_t{0})) == "");
  BOOST_TEST(text(query{copy_out}.bind(std::int64_t{9})) == "1,one\n2,two\n");
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(a_copy_takes_part_in_a_transaction) {
  rows(on, query{begin});
  on.copy(query{copy_in});
  put("1,one\n");
  BOOST_TEST(!failed(end()));
  BOOST_TEST((on.block() == block_state::open));
  BOOST_TEST(text(query{copy_out}.bind(std::int64_t{9})) == "1,one\n");
  rows(on, query{rollback});
  BOOST_TEST(count() == "0");
}

BOOST_AUTO_TEST_CASE(whoever_does_not_take_rows_holds_the_server_up) {
  on.copy(query{much}.bind(std::int32_t{50'000}));
  // Fifty megabytes, none of which is taken: what libpq and the socket hold stays small.
  std::size_t taken = 0, largest = 0;
  while (on.copying() != copy_state::out)
    step(on);
  const auto waits =
      "select wait_event from pg_stat_activity where pid = " + std::to_string(on.backend_pid());
  BOOST_TEST(await_until([&] {
    on.on_readable(); // reads nothing while the first chunk is there
    return database.value(waits) == "ClientWrite";
  }));
  while (on.copying() == copy_state::out) {
    auto chunk = on.copy_chunk();
    if (!chunk) {
      step(on);
      continue;
    }
    taken += chunk->size();
    largest = std::max(largest, chunk->size());
    BOOST_REQUIRE(chunk->back() == '\n');
  }
  while (auto chunk = on.copy_chunk())
    taken += chunk->size();
  BOOST_TEST(!failed(answers(on, 1).front()));
  BOOST_TEST(taken == 50'000U * 1001U);
  BOOST_TEST(largest < 80U * 1024U);
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(a_full_socket_is_told_and_nothing_piles_up) {
  const statement plain{"plain", "copy t from stdin"};
  on.copy(query{plain});
  BOOST_TEST((on.copying() == copy_state::starting));
  BOOST_TEST(!on.copy_put("1\tx\n"));
  std::string block;
  std::int64_t value = 0;
  std::size_t full = 0, sent = 0;
  while (sent < 64U * 1024 * 1024) {
    block.clear();
    while (block.size() < 500'000)
      block += std::to_string(++value) + "\t" + std::string(2000, 'y') + "\n";
    while (on.copying() == copy_state::starting)
      step(on);
    while (!on.copy_put(block)) {
      BOOST_REQUIRE(on.wants_write());
      ++full;
      make_room();
    }
    sent += block.size();
  }
  BOOST_TEST(full > 0U);
  BOOST_TEST(!on.copy_put(std::string(connection::max_copy_put + 1, 'z')));
  auto answer = end();
  BOOST_REQUIRE(!failed(answer));
  BOOST_TEST(std::get<result>(answer.outcome).affected() == static_cast<std::uint64_t>(value));
  BOOST_TEST(count() == std::to_string(value));
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(a_row_that_is_refused_stores_nothing_and_the_connection_lives) {
  on.copy(query{copy_in});
  put("1,one\n");
  put("nonsense,two\n");
  put("3,three\n");
  auto answer = end();
  BOOST_REQUIRE(failed(answer));
  BOOST_TEST((failed(answer)->code == errc::invalid_argument));
  BOOST_TEST(failed(answer)->sqlstate == "22P02");
  BOOST_TEST(failed(answer)->statement == "copy_in");
  BOOST_TEST(count() == "0");
  BOOST_TEST(usable());
  // Broken UTF-8 and NUL likewise.
  for (const auto& wrong : {std::string{"4,\xff\n"}, std::string{"5,\0\n", 4}}) {
    on.copy(query{copy_in});
    put(wrong);
    answer = end();
    BOOST_REQUIRE(failed(answer));
    BOOST_TEST(failed(answer)->sqlstate == "22021");
  }
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(a_failure_in_a_transaction_is_seen_in_its_state) {
  rows(on, query{begin});
  on.copy(query{copy_in});
  put("nonsense\n");
  BOOST_TEST(failed(end()));
  BOOST_TEST((on.block() == block_state::failed));
  BOOST_TEST((refusal(on, query{one}).code == errc::aborted));
  rows(on, query{rollback});
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_on_its_way_in_is_not_stored_and_the_connection_lives) {
  on.copy(query{copy_in});
  put("1,one\n");
  on.copy_cancel("the job was cancelled");
  BOOST_TEST(!on.copy_put("2,two\n"));
  auto answer = std::move(answers(on, 1).front());
  BOOST_REQUIRE(failed(answer));
  BOOST_TEST((failed(answer)->code == errc::aborted));
  BOOST_TEST(failed(answer)->message == "the job was cancelled");
  BOOST_TEST(count() == "0");
  // Before the server has answered at all.
  on.copy(query{copy_in});
  on.copy_cancel("at once");
  BOOST_TEST((failed(answers(on, 1).front())->code == errc::aborted));
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(what_is_cancelled_on_its_way_out_breaks_the_connection_and_says_so) {
  for (bool wait : {true, false}) {
    on = connect(database.url());
    on.copy(query{much}.bind(std::int32_t{100'000}));
    while (wait && on.copying() != copy_state::out)
      step(on);
    on.copy_cancel("nobody reads it");
    while (!on.broken())
      step(on);
    auto answer = on.next();
    BOOST_REQUIRE(answer.has_value());
    BOOST_TEST((failed(*answer)->code == errc::aborted));
    BOOST_TEST(failed(*answer)->message == "nobody reads it");
    BOOST_TEST(on.why_broken().message == "nobody reads it");
    BOOST_TEST(!on.next().has_value());
  }
}

BOOST_AUTO_TEST_CASE(an_error_in_the_middle_of_the_rows_is_told) {
  auto all = read(expression(selecting("10 / (3 - n) from generate_series(1, 5) n")));
  BOOST_TEST(all.rows == "5\n10\n");
  BOOST_REQUIRE(failed(all.answer));
  BOOST_TEST(failed(all.answer)->sqlstate == "22012");
  BOOST_TEST(usable());
  all = read(expression(selecting("no_such_column")));
  BOOST_TEST(failed(all.answer)->sqlstate == "42703");
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(a_session_that_ends_during_a_copy_is_told) {
  on.copy(query{much}.bind(std::int32_t{100'000}));
  while (on.copying() != copy_state::out)
    step(on);
  database.exec("select pg_terminate_backend(" + std::to_string(on.backend_pid()) + ")");
  while (!on.broken()) {
    while (on.copy_chunk()) {
    }
    if (!on.broken())
      step(on);
  }
  auto answer = on.next();
  BOOST_REQUIRE(answer.has_value());
  BOOST_TEST((failed(*answer)->code == errc::outcome_unknown));
  on = connect(database.url());
  on.copy(query{copy_in});
  put("1,one\n");
  auto all = on.abandon("stopping");
  BOOST_REQUIRE(all.size() == 1U);
  BOOST_TEST((failed(all[0])->code == errc::outcome_unknown));
}

BOOST_AUTO_TEST_CASE(meanwhile_and_out_of_turn_all_else_is_refused) {
  on.submit(query{one});
  on.copy(query{copy_in});
  auto both = answers(on, 2);
  BOOST_TEST((failed(both[0])->code == errc::conflict));
  BOOST_TEST(!failed(both[1]));
  on.copy(query{copy_in});
  on.submit(query{one});
  on.copy(query{copy_in});
  both = answers(on, 2);
  BOOST_TEST((failed(both[0])->code == errc::conflict));
  BOOST_TEST((failed(both[1])->code == errc::conflict));
  put("1,one\n");
  BOOST_TEST(!failed(end()));
  on.copy(query{one});
  BOOST_TEST((failed(answers(on, 1).front())->code == errc::invalid_argument));
  on.copy_end();
  on.copy_cancel("nothing");
  BOOST_TEST(!on.copy_put("x"));
  BOOST_TEST(!on.copy_chunk().has_value());
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_CASE(parameters_of_every_type_arrive_as_they_are) {
  auto q = expression(selecting("$1, $2, $3, $4, $5, $6, $7, $8, $9"));
  q.bind(std::numeric_limits<std::int64_t>::min()).bind(std::int32_t{-7}).bind(std::int16_t{3});
  q.bind(true)
      .bind(0.1)
      .bind(timestamp{} + 1us)
      .bind_jsonb(R"({"a": "it's"})")
      .bind_bytes({"\0\xff", 2});
  q.bind_null<std::int64_t>();
  BOOST_TEST(text(q)
             == "-9223372036854775808\t-7\t3\tt\t0.1\t1970-01-01 00:00:00.000001+00\t"
                "{\"a\": \"it's\"}\t\\\\x00ff\t\\N\n");
  auto arrays = expression(selecting("$1, $2, $3, $4, $5"));
  arrays.bind(std::vector<std::int64_t>{1, -2})
      .bind(std::vector<std::string>{"a,b", "{\"", "", "'"});
  arrays.bind(std::vector<std::int64_t>{})
      .bind_text_array({"x", ""})
      .bind(std::vector<bool>{true, false});
  BOOST_TEST(text(arrays) == "{1,-2}\t{\"a,b\",\"{\\\\\"\",\"\",'}\t{}\t{x,NULL}\t{t,f}\n");
  auto times = expression(selecting("$1, $2, pg_typeof($3)"));
  times.bind(timestamp::max()).bind(timestamp::min()).bind("a text");
  BOOST_TEST(text(times) == "infinity\t-infinity\ttext\n");
}

BOOST_AUTO_TEST_CASE(a_parameter_is_never_read_as_sql) {
  for (const char* evil : {"'); drop table t; --", "\\'; drop table t; --", "$1", "/*", "\\", "E'",
                           "\"", "naïve 日本"}) {
    auto q = expression(selecting("$1 = convert_from($2, 'UTF8')"));
    q.bind(evil).bind_bytes(evil);
    BOOST_TEST(text(q) == "t\n");
  }
  BOOST_TEST(count() == "0");
}

BOOST_AUTO_TEST_CASE(what_only_looks_like_a_parameter_is_left_alone) {
  const dynamic_statement tricky{
      "tricky", "copy (select '$1', 'it''s $1', E'\\'$1', $$ $1 $$, $x$ $1 $$ $x$, 1 as a$1, "
                "2 as \"$1\" /* $1 /* $1 */ $1 */, $1 -- $1\n) to stdout"};
  BOOST_TEST(text(query{tricky}.bind("here")) == "$1\tit's $1\t'$1\t $1 \t $1 $$ \t1\t2\there\n");
  const dynamic_statement twice{"twice", "copy (select $2,$1,$2) to stdout"};
  BOOST_TEST(text(query{twice}.bind("a").bind("b")) == "b\ta\tb\n");
}

BOOST_AUTO_TEST_CASE(what_no_literal_can_hold_is_refused_before_anything_is_sent) {
  using namespace std::string_literals;
  auto why = [&](query q) {
    on.copy(q);
    auto answer = std::move(answers(on, 1).front());
    BOOST_REQUIRE(failed(answer));
    BOOST_TEST((failed(answer)->code == errc::invalid_argument));
    return failed(answer)->message;
  };
  BOOST_TEST(why(expression(selecting("$1")).bind("admin\0evil"s)) == "a text contains a NUL byte");
  BOOST_TEST(why(expression(selecting("$1")).bind("\xff")) == "a text is not valid UTF-8");
  BOOST_TEST(why(expression(selecting("$2")).bind("x")) == "there is no parameter $2");
  BOOST_TEST(why(expression(selecting("$1"))
                     .bind(timestamp{std::chrono::sys_days{std::chrono::year{12'000} / 1 / 1}}))
             == "a time lies outside of the years 1 to 9999");
  BOOST_TEST(usable());
}

BOOST_AUTO_TEST_SUITE_END()
