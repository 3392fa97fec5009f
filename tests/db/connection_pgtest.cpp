// The pipelined connection against a real server: order, errors in between, loss in the middle.
#include "db/connection.hpp"
#include "tests/db/numbers.hpp"
#include "tests/db/patient_connection.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <map>
#include <set>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

const statement echo{"echo", "select $1::int8"};
const statement nap{"nap", "select pg_sleep(60)"};
const statement size_of{"size_of", "select length($1::text), $1::text"};

const db_failure* failed(const finished& answer) {
  return std::get_if<db_failure>(&answer.outcome);
}

std::int64_t number(const finished& answer) {
  return std::get<result>(answer.outcome).one().get<std::int64_t>(0);
}

connect_options options_for(const std::string& url) {
  connect_options options;
  options.url = url;
  return options;
}

/// Reads until the server is gone, then gives all answers.
std::vector<finished> until_broken(connection& on) {
  std::vector<finished> all;
  while (!on.broken())
    step(on);
  while (auto answer = on.next())
    all.push_back(std::move(*answer));
  return all;
}

struct server {
  connection on = connect_patiently(server_url());
};

struct table {
  test_database database{test_database::content::empty};
  table() { database.exec("create table t (a int8 primary key)"); }
  std::set<std::int64_t> stored() {
    std::set<std::int64_t> all;
    for (const auto& row : database.query_text("select a from t"))
      all.insert(std::stoll(row[0]));
    return all;
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_thousand_statements_with_errors_between_are_answered_in_order) {
  auto on = connect(server_url());
  std::vector<std::uint64_t> tokens;
  for (std::int64_t i = 0; i < 1000; ++i)
    tokens.push_back(on.submit(with(divide, i % 7)));
  BOOST_TEST(on.in_flight() == 1000U);
  auto all = answers(on, 1000);
  BOOST_TEST(on.in_flight() == 0U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    BOOST_REQUIRE(all[i].token == tokens[i]);
    auto divisor = static_cast<std::int64_t>(i % 7);
    if (divisor == 0) {
      BOOST_REQUIRE(failed(all[i]));
      BOOST_REQUIRE(failed(all[i])->sqlstate == "22012");
      BOOST_REQUIRE(failed(all[i])->statement == "divide");
    } else {
      BOOST_REQUIRE(number(all[i]) == 1000 / divisor);
    }
  }
  BOOST_TEST(!on.next().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_statement_is_prepared_once_per_connection, server) {
  for (int i = 0; i < 20; ++i)
    on.submit(with(echo, i));
  answers(on, 20);
  const statement count{"count", "select count(*) from pg_prepared_statements where name = 'echo'"};
  BOOST_TEST(rows(on, query{count}).one().get<std::int64_t>(0) == 1);
}

BOOST_AUTO_TEST_CASE(above_the_bound_a_statement_is_refused_and_others_go_on) {
  auto options = options_for(server_url());
  options.max_in_flight = 4;
  auto on = connect(options);
  for (int i = 0; i < 4; ++i)
    on.submit(with(echo, i));
  BOOST_TEST(on.full());
  auto refused = on.submit(with(echo, 4));
  auto first = on.next();
  BOOST_REQUIRE(first.has_value());
  BOOST_TEST(first->token == refused);
  BOOST_TEST((failed(*first)->code == errc::overloaded));
  BOOST_TEST(!failed(*first)->poisons_connection);
  auto all = answers(on, 4);
  for (std::size_t i = 0; i < all.size(); ++i)
    BOOST_TEST(number(all[i]) == static_cast<std::int64_t>(i));
  BOOST_TEST(!on.full());
}

BOOST_FIXTURE_TEST_CASE(too_many_bytes_are_refused_and_the_connection_lives, server) {
  query big{size_of};
  big.bind(std::string(query::max_bytes + 1, 'x'));
  auto why = refusal(on, big);
  BOOST_TEST((why.code == errc::invalid_argument));
  BOOST_TEST(!why.poisons_connection);
  BOOST_TEST(number(ask(on, with(echo, 1))) == 1);
}

BOOST_FIXTURE_TEST_CASE(many_large_statements_both_ways_do_not_block_each_other, server) {
  const statement lock{"lock", "select pg_advisory_lock($1::int8)"};
  const statement unlock{"unlock", "select pg_advisory_unlock($1::int8)"};
  const std::int64_t key = 4711;
  connection holder = connect_patiently(server_url());
  rows(holder, with(lock, key));
  // The server waits in the first statement and reads no further, so buffers fill up.
  on.submit(with(lock, key));
  // Eight megabytes: far more than a socket holds.
  const std::string text(200'000, 'y');
  for (int i = 0; i < 40; ++i) {
    query q{size_of};
    q.bind(text);
    on.submit(q);
  }
  on.flush();
  BOOST_TEST(on.wants_write());
  rows(holder, with(unlock, key));
  auto all = answers(on, 41);
  for (std::size_t i = 1; i < all.size(); ++i)
    BOOST_REQUIRE(std::get<result>(all[i].outcome).one().get<std::int32_t>(0) == 200'000);
  BOOST_TEST(!on.wants_write());
}

BOOST_FIXTURE_TEST_CASE(a_commit_that_fails_is_a_failure_although_rows_came_before, table) {
  database.exec("create table d (a int8 unique deferrable initially deferred)");
  const statement add{"add", "insert into d values ($1::int8) returning a"};
  auto on = connect(database.url());
  on.submit(with(add, 1));
  on.submit(with(add, 1));
  on.submit(with(add, 2));
  auto all = answers(on, 3);
  BOOST_TEST(!failed(all[0]));
  BOOST_REQUIRE(failed(all[1]));
  BOOST_TEST((failed(all[1])->code == errc::conflict));
  BOOST_TEST(failed(all[1])->constraint == "d_a_key");
  BOOST_TEST(!failed(all[2]));
  BOOST_TEST(database.value("select string_agg(a::text, ',' order by a) from d") == "1,2");
}

BOOST_FIXTURE_TEST_CASE(statements_that_cannot_be_prepared_fail_alike_and_can_be_cured, table) {
  const statement later{"later", "select count(*) from made_later where a > $1::int8"};
  auto on = connect(database.url());
  for (int i = 0; i < 3; ++i)
    on.submit(with(later, i));
  for (const auto& answer : answers(on, 3)) {
    BOOST_REQUIRE(failed(answer));
    BOOST_TEST(failed(answer)->sqlstate == "42P01");
  }
  database.exec("create table made_later (a int8)");
  BOOST_TEST(number(ask(on, with(later, 0))) == 0);
}

BOOST_FIXTURE_TEST_CASE(an_outdated_plan_is_a_retry_that_then_succeeds, table) {
  const statement all_columns{"all_columns", "select * from t where a > $1::int8"};
  auto on = connect(database.url());
  BOOST_TEST(rows(on, with(all_columns, 0)).columns() == 1);
  database.exec("alter table t add column b int8");
  BOOST_TEST((refusal(on, with(all_columns, 0)).code == errc::retry));
  BOOST_TEST(rows(on, with(all_columns, 0)).columns() == 2);
}

BOOST_FIXTURE_TEST_CASE(prepared_statements_that_were_discarded_are_prepared_again, server) {
  const statement discard{"discard", "deallocate all"};
  ask(on, with(echo, 1));
  rows(on, query{discard});
  BOOST_TEST((refusal(on, with(echo, 2)).code == errc::retry));
  BOOST_TEST(number(ask(on, with(echo, 3))) == 3);
}

BOOST_FIXTURE_TEST_CASE(a_transaction_spans_statements_until_it_is_rolled_back, table) {
  const statement begin{"begin", "begin"}, rollback{"rollback", "rollback"};
  auto on = connect(database.url());
  on.submit(query{begin});
  on.submit(with(insert, 1));
  on.submit(with(divide, 0));
  on.submit(with(insert, 2));
  auto all = answers(on, 4);
  BOOST_TEST(on.in_transaction());
  BOOST_TEST(!failed(all[1]));
  BOOST_TEST(failed(all[2])->sqlstate == "22012");
  BOOST_TEST(failed(all[3])->sqlstate == "25P02");
  rows(on, query{rollback});
  BOOST_TEST(!on.in_transaction());
  rows(on, with(insert, 3));
  BOOST_TEST((stored() == std::set<std::int64_t>{3}));
}

BOOST_AUTO_TEST_CASE(a_statement_above_its_time_is_cancelled_and_the_connection_lives) {
  auto options = options_for(server_url());
  options.statement_timeout = std::chrono::milliseconds{50};
  auto on = connect(options);
  auto why = refusal(on, query{nap});
  BOOST_TEST((why.code == errc::timed_out));
  BOOST_TEST(!why.poisons_connection);
  BOOST_TEST(await_until([&] { // a slow machine may need more time even for this
    const auto answer = ask(on, with(echo, 1));
    return !failed(answer) && number(answer) == 1;
  }));
}

BOOST_FIXTURE_TEST_CASE(a_server_that_ends_in_the_middle_leaves_nothing_unanswered, table) {
  // Nothing is carried out before all is sent: when libpq meets the end of a connection while it
  // writes, it forgets what it has read already, and answers that came are told as unknown.
  const statement begin{"begin", "begin"}, rollback{"rollback", "rollback"};
  const statement lock{"lock", "lock table t in access exclusive mode"};
  auto holder = connect_patiently(database.url());
  rows(holder, query{begin});
  rows(holder, query{lock});
  auto on = connect_patiently(database.url());
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < 50; ++i)
    tokens.push_back(on.submit(with(insert, i)));
  tokens.push_back(on.submit(query{end_me}));
  for (int i = 50; i < 100; ++i)
    tokens.push_back(on.submit(with(insert, i)));
  on.flush();
  BOOST_REQUIRE(!on.wants_write());
  rows(holder, query{rollback});
  auto all = until_broken(on);
  BOOST_REQUIRE(all.size() == tokens.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    BOOST_REQUIRE(all[i].token == tokens[i]);
    if (i < 50)
      BOOST_REQUIRE(!failed(all[i]));
    else
      BOOST_REQUIRE((failed(all[i]) && failed(all[i])->code == errc::outcome_unknown));
  }
  BOOST_TEST(failed(all[50])->sqlstate == "57P01");
  BOOST_TEST(failed(all[50])->message == "terminating connection due to administrator command");
  BOOST_TEST(on.why_broken().sqlstate == "57P01");
  BOOST_TEST(on.socket() == -1);
  BOOST_TEST(stored().size() == 50U);
  // What comes later was never sent, and may be tried elsewhere.
  on.submit(with(insert, 200));
  auto late = on.next();
  BOOST_REQUIRE(late.has_value());
  BOOST_TEST((failed(*late)->code == errc::unavailable));
  BOOST_TEST(failed(*late)->retryable);
}

BOOST_FIXTURE_TEST_CASE(killed_at_any_moment_answered_is_stored_and_stored_is_not_denied, table) {
  std::int64_t value = 0;
  for (std::size_t kill_after = 0; kill_after < 120; kill_after += 8) {
    auto on = connect(database.url());
    std::map<std::uint64_t, std::int64_t> waiting;
    std::set<std::int64_t> done, unknown;
    for (int i = 0; i < 120; ++i) {
      waiting[on.submit(with(insert, value))] = value;
      ++value;
    }
    auto note = [&](const finished& answer) {
      auto which = waiting.extract(answer.token);
      BOOST_REQUIRE(!which.empty());
      if (!failed(answer))
        done.insert(which.mapped());
      else if (failed(answer)->code == errc::outcome_unknown)
        unknown.insert(which.mapped());
    };
    for (const auto& answer : answers(on, kill_after))
      note(answer);
    database.exec("select pg_terminate_backend(" + std::to_string(on.backend_pid()) + ", 10000)");
    for (const auto& answer : until_broken(on))
      note(answer);
    BOOST_REQUIRE(waiting.empty());
    auto there = stored();
    for (auto each : done)
      BOOST_REQUIRE(there.contains(each));
    for (auto each : there)
      BOOST_REQUIRE((each < value - 120 || done.contains(each) || unknown.contains(each)));
  }
}

BOOST_FIXTURE_TEST_CASE(an_idle_connection_that_is_ended_says_why, server) {
  ask(on, with(echo, 1));
  test_database other{test_database::content::empty};
  other.exec("select pg_terminate_backend(" + std::to_string(on.backend_pid()) + ")");
  BOOST_TEST(until_broken(on).empty());
  BOOST_TEST((on.why_broken().code == errc::unavailable));
  BOOST_TEST(on.why_broken().message == "terminating connection due to administrator command");
}

BOOST_FIXTURE_TEST_CASE(giving_up_answers_what_is_outstanding, server) {
  auto first = on.submit(query{nap});
  auto second = on.submit(with(echo, 1));
  on.flush();
  auto all = on.abandon("stopping");
  BOOST_REQUIRE(all.size() == 2U);
  BOOST_TEST(all[0].token == first);
  BOOST_TEST(all[1].token == second);
  for (const auto& answer : all) {
    BOOST_TEST((failed(answer)->code == errc::outcome_unknown));
    BOOST_TEST(failed(answer)->message == "stopping");
  }
  BOOST_TEST(on.broken());
  BOOST_TEST(on.abandon().empty());
}

BOOST_FIXTURE_TEST_CASE(warnings_are_not_failures_and_do_not_disturb, server) {
  const statement warn{"warn", "do $$ begin raise warning 'careful'; end $$"};
  rows(on, query{warn});
  BOOST_TEST(number(ask(on, with(echo, 5))) == 5);
}

BOOST_FIXTURE_TEST_CASE(our_own_sqlstates_become_the_callers_errors, server) {
  const statement raise{"raise", "do $$ begin raise exception 'job 7 does not exist' "
                                 "using errcode = 'TR404'; end $$"};
  auto why = refusal(on, query{raise});
  BOOST_TEST((why.code == errc::not_found));
  BOOST_TEST(why.message == "job 7 does not exist");
}

BOOST_FIXTURE_TEST_CASE(notifications_arrive_also_while_nothing_is_asked, server) {
  const statement listen{"listen", "listen troupe_test_channel"};
  rows(on, query{listen});
  test_database other{test_database::content::empty};
  connection sender = connect(server_url());
  const statement notify{"notify", "select pg_notify('troupe_test_channel', 'hello')"};
  rows(sender, query{notify});
  std::optional<notification> note;
  while (!(note = on.next_notification()))
    step(on);
  BOOST_TEST(note->channel == "troupe_test_channel");
  BOOST_TEST(note->payload == "hello");
}

BOOST_FIXTURE_TEST_CASE(copy_does_not_fit_and_breaks_nothing_else_silently, server) {
  const statement copy{"copy", "copy (select 1) to stdout"};
  on.submit(query{copy});
  on.submit(with(echo, 1));
  auto all = until_broken(on);
  BOOST_REQUIRE(all.size() == 2U);
  for (const auto& answer : all)
    BOOST_TEST(failed(answer));
}
