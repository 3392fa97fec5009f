// Sessions on a real server: what commits and what does not, savepoints, errors, time limits, rows,
// streams, and that no connection is ever kept.
#include "tests/launcher/session_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;
using cause = database_metrics::rollback_cause;

BOOST_FIXTURE_TEST_SUITE(sessions, session_fixture)

BOOST_AUTO_TEST_CASE(jobs_and_rows_commit_together_and_the_jobs_run_only_then) {
  start();
  auto work = node->open_session();
  work.add({.kind = "echo", .args = R"({"n":1})"});
  work.query("insert into note (text) values ($1)", "hello").ignore();
  const auto flushed = work.flush().get();
  BOOST_REQUIRE(flushed.added.size() == 1U);
  BOOST_TEST(count("note") == "0");
  BOOST_TEST(count("troupe.job") == "0");
  work.add({.kind = "noop"});
  const auto committed = work.commit().get();
  BOOST_REQUIRE(committed.added.size() == 2U);
  BOOST_TEST(committed.added[0] == flushed.added[0]);
  BOOST_TEST(count("note") == "1");
  for (const auto id : committed.added)
    BOOST_TEST(node->wait(id, 60s).state == job_state::completed);
}

BOOST_AUTO_TEST_CASE(a_rollback_leaves_nothing_and_the_session_goes_on) {
  start();
  auto work = node->open_session();
  work.add({.kind = "noop"});
  work.query("insert into note (text) values ('x')").ignore();
  work.flush().ignore();
  work.rollback().get();
  BOOST_TEST(count("note") == "0");
  work.query("insert into note (text) values ('y')").ignore();
  BOOST_TEST(work.commit().get().added.empty());
  BOOST_TEST(count("note") == "1");
  BOOST_TEST(count("troupe.job") == "0");
  BOOST_TEST(rollbacks(cause::asked) == 1U);
}

BOOST_AUTO_TEST_CASE(a_removed_job_is_gone_with_the_commit_and_a_missing_one_aborts) {
  start();
  const auto id = node->enqueue({.kind = "noop", .delay = 1h});
  auto work = node->open_session();
  work.remove(id);
  BOOST_TEST(work.refresh(id).get().state == job_state::scheduled);
  BOOST_TEST(work.flush().get().removed == 1U);
  BOOST_TEST(code_of(work.refresh(id)) == errc::not_found);
  BOOST_TEST(node->get(id).state == job_state::scheduled);
  static_cast<void>(work.commit().get());
  BOOST_TEST(code_of([&] { node->get(id); }) == errc::not_found);
  work.remove(id);
  BOOST_TEST(code_of(work.commit()) == errc::not_found);
  BOOST_TEST(code_of(work.flush()) == errc::aborted);
  work.rollback().get();
}

BOOST_AUTO_TEST_CASE(a_unique_job_of_a_session_is_part_of_its_transaction) {
  start();
  const job_spec one{.kind = "noop", .delay = 1h, .unique = unique_rule{}};
  auto work = node->open_session();
  work.add(one);
  const auto first = work.flush().get().added.front();
  work.rollback().get();
  const auto second = node->enqueue(one); // the key went with the rollback
  BOOST_TEST(second != first);
  auto same = one;
  same.unique->conflict = on_conflict::existing;
  work.add(same);
  BOOST_TEST(work.commit().get().added.front() == second);
  {
    savepoint_scope part{work, "job"};
    work.add(one);
    BOOST_TEST(code_of(work.flush()) == errc::conflict);
  }
  work.query("insert into note (text) values ('x')").ignore();
  work.add({.kind = "noop"});
  BOOST_TEST(work.commit().get().added.size() == 1U);
  BOOST_TEST(count("note") == "1");
  BOOST_TEST(count("troupe.job") == "2");
}

BOOST_AUTO_TEST_CASE(savepoints_nest_fifty_deep_and_each_can_be_undone) {
  start();
  auto work = node->open_session();
  for (int i = 0; i < 50; ++i) {
    work.savepoint("level " + std::to_string(i)).ignore();
    work.query("insert into note (text) values ($1)", std::to_string(i)).ignore();
  }
  BOOST_TEST(work.query("select count(*) from note").get().one<std::int64_t>() == 50);
  work.rollback_to("level 30").get(); // 20 levels at once
  work.release("level 10").get();
  work.rollback_to("level 5").ignore();
  BOOST_TEST(code_of(work.release("level 40")) == errc::not_found);
  static_cast<void>(work.commit().get());
  BOOST_TEST(database.value("select string_agg(text, ',' order by id) from note") == "0,1,2,3,4");
  BOOST_TEST(node->database().savepoints == 50U);
}

BOOST_AUTO_TEST_CASE(an_error_inside_a_savepoint_keeps_what_was_done_outside) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('kept')").ignore();
  work.savepoint("part").ignore();
  work.query("insert into note (text) values ('lost')").ignore();
  work.add({.kind = "noop"});
  BOOST_TEST(code_of(work.query("insert into account values (1, 1)")) == errc::conflict);
  work.query("insert into note (text) values ('kept too')").get();
  static_cast<void>(work.commit().get());
  BOOST_TEST(database.value("select string_agg(text, ',' order by id) from note")
             == "kept,kept too");
  BOOST_TEST(count("troupe.job") == "0");
}

BOOST_AUTO_TEST_CASE(a_scope_undoes_its_part_unless_it_is_released) {
  start();
  auto work = node->open_session();
  {
    savepoint_scope part{work, "a"};
    work.query("insert into note (text) values ('a')").get();
  }
  {
    savepoint_scope part{work, "b"};
    work.query("insert into note (text) values ('b')").get();
    part.release().get();
  }
  static_cast<void>(work.commit().get());
  BOOST_TEST(database.value("select string_agg(text, ',') from note") == "b");
}

BOOST_AUTO_TEST_CASE(an_error_outside_aborts_and_says_why_until_the_rollback) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('x')").get();
  BOOST_TEST(code_of(work.query("select 1 / $1", std::int32_t{0})) == errc::invalid_argument);
  BOOST_TEST(await_lent(0));
  try {
    static_cast<void>(work.commit().get());
    BOOST_ERROR("a commit of an aborted transaction succeeded");
  } catch (const engine_error& e) {
    BOOST_TEST(e.code() == errc::aborted);
    BOOST_TEST(std::string{e.what()}.find("division by zero") != std::string::npos, e.what());
  }
  BOOST_TEST(code_of(work.query("select 1")) == errc::aborted);
  work.rollback().get();
  BOOST_TEST(work.query("select 1").get().one<std::int32_t>() == 1);
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(transactions_cannot_be_steered_by_sql) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('x')").get();
  for (const auto* text : {"commit", "rollback", "savepoint a", "begin", "end"})
    BOOST_TEST(code_of(work.query(text)) == errc::invalid_argument);
  work.rollback().get();
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(rows_are_read_as_types_and_checked) {
  start();
  auto work = node->open_session();
  const auto both = work.query("select id, amount from account order by id").get();
  BOOST_TEST(both.size() == 2);
  const auto all = both.all<std::int64_t, std::int64_t>();
  BOOST_TEST((all == std::vector<std::tuple<std::int64_t, std::int64_t>>{{1, 100}, {2, 100}}));
  BOOST_TEST(code_of([&] { static_cast<void>(both.one<std::int64_t, std::int64_t>()); })
             == errc::conflict);
  const auto none = work.query("select id from account where id = $1", std::int64_t{9}).get();
  BOOST_TEST(!none.optional<std::int64_t>().has_value());
  BOOST_TEST(code_of([&] { static_cast<void>(none.one<std::int64_t>()); }) == errc::not_found);
  BOOST_TEST(code_of([&] { static_cast<void>(both.all<std::int64_t>()); })
             == errc::invalid_argument);
  BOOST_TEST(code_of([&] { static_cast<void>(both.all<std::string, std::string>()); })
             == errc::invalid_argument);
  const auto sum = work.query("select sum(amount) from account").get();
  BOOST_TEST(sum.one<std::int64_t>() == 200);
  BOOST_TEST(sum.one<std::string>() == "200");
  const auto bound = work.query("select $1, $2::text", std::size_t{1}, std::nullopt).get();
  const auto [number, text] = bound.one<std::int64_t, std::optional<std::string>>();
  BOOST_TEST(number == 1);
  BOOST_TEST(!text.has_value());
  BOOST_TEST(work.query("update account set amount = 5").get().affected() == 2U);
}

BOOST_AUTO_TEST_CASE(a_users_statement_is_planned_as_the_server_would) {
  start();
  database.exec("create table wide as select i as id, repeat('x', 200) as text "
                "from generate_series(1, 20000) i");
  database.exec("analyze wide");
  auto work = node->open_session();
  work.add({.kind = "noop"});
  const auto id = work.flush().get().added.at(0);
  BOOST_TEST(work.refresh(id).get().kind == "noop"); // the engine's own statements go before
  std::string plan;
  const auto lines = work.query("explain select count(*) from wide a join wide b using (id)").get();
  for (const auto& line : lines.all<std::string>())
    plan += line + "\n";
  BOOST_TEST(plan.find("Hash Join") != std::string::npos, plan);
  BOOST_TEST(plan.find("Seq Scan") != std::string::npos, plan);
  work.query("set local enable_hashjoin = off").get();
  BOOST_TEST(work.refresh(id).get().kind == "noop");
  BOOST_TEST(work.query("show enable_hashjoin").get().one<std::string>() == "off");
}

BOOST_AUTO_TEST_CASE(a_write_in_a_read_only_transaction_is_a_conflict_and_costs_no_connection) {
  start();
  const auto write = [](session& work) {
    return code_of(work.query("insert into note (text) values ('x')"));
  };
  auto work = node->open_session();
  work.begin({db::isolation::repeatable_read, true}).get();
  BOOST_TEST(write(work) == errc::conflict);
  work.rollback().get();
  work.query("set transaction read only").get();
  BOOST_TEST(write(work) == errc::conflict);
  work.rollback().get();
  BOOST_TEST(write(work) == errc::none);
  static_cast<void>(work.commit().get());
  BOOST_TEST(node->counters().connections_lost == 0U);
  // The server takes no writes any more: the same statement may succeed over another connection.
  work.query("set default_transaction_read_only = on").get();
  work.query("set transaction read only").get();
  BOOST_TEST(write(work) == errc::unavailable);
  BOOST_TEST(await_until([&] { return node->counters().connections_lost == 1U; }));
}

BOOST_AUTO_TEST_CASE(a_statement_is_told_of_by_its_text_and_counted_without_it) {
  start();
  auto work = node->open_session();
  const auto row = work.query("select 1 as n").get();
  try {
    static_cast<void>(row.one<std::string>());
    BOOST_ERROR("an integer was read as a text");
  } catch (const engine_error& e) {
    BOOST_TEST(
        std::string{e.what()}
        == "column 0 (n) of statement select 1 as n is integer, read as text; cast it to text "
           "in the SQL");
  }
  for (int i = 0; i < 50; ++i)
    work.query("select " + std::to_string(i)).get();
  for (const auto& one : node->database().statements())
    if (const char* name = one.name.load())
      BOOST_TEST(std::string_view{name}.find(' ') == std::string_view::npos, name);
}

BOOST_AUTO_TEST_CASE(a_stream_gives_its_rows_batch_by_batch) {
  start();
  auto work = node->open_session();
  auto stream = work.stream(db::make_query("select generate_series(1, $1)", std::int64_t{2500}));
  std::int64_t next = 1;
  int batches = 0;
  for (auto batch = stream.next().get(); !batch.empty(); batch = stream.next().get()) {
    ++batches;
    for (const auto value : batch.all<std::int64_t>())
      BOOST_REQUIRE(value == next++);
  }
  BOOST_TEST(next == 2501);
  BOOST_TEST(batches == 3);
  auto wrong = work.stream(db::make_query("select nonsense"));
  BOOST_TEST(code_of(wrong.next()) == errc::aborted);
}

BOOST_AUTO_TEST_CASE(pages_go_through_all_rows_once_while_rows_come_and_go) {
  start();
  database.exec("create table person (name text, born timestamptz, id bigint generated always as "
                "identity)");
  database.exec("insert into person (name, born) select 'n' || i % 7, '2000-01-01'::timestamptz + "
                "i % 3 * interval '1 day' from generate_series(1, 100) i");
  auto work = node->open_session();
  const auto page = [] {
    return db::page_query{
        db::make_query("select name, born, id from person"),
        {{"name", db::column_type::text}, {"born", db::column_type::time}, {"id"}}};
  };
  for (const auto way : {db::direction::ascending, db::direction::descending}) {
    std::vector<std::tuple<std::string, timestamp, std::int64_t>> seen;
    std::string cursor;
    for (int pages = 0;; ++pages) {
      auto next = page();
      next.where("name", db::compare::not_equal, std::string{"n3"})
          .order_by({"name", "born", "id"}, way)
          .limit(9)
          .after(cursor);
      const auto found = work.query(next.build()).get();
      for (auto& row : found.all<std::string, timestamp, std::int64_t>())
        seen.push_back(std::move(row));
      const auto behind = next.next(found.raw());
      if (!behind)
        break;
      cursor = *behind;
      // Behind us, so no page that follows may be shifted by it.
      work.query("insert into person (name, born) values ($1, '1900-01-01')",
                 way == db::direction::ascending ? "a" : "z")
          .ignore();
      BOOST_REQUIRE(pages < 20);
    }
    BOOST_TEST(seen.size() == 86U + (way == db::direction::ascending ? 0U : 9U));
    BOOST_TEST(std::is_sorted(seen.begin(), seen.end(), [way](const auto& a, const auto& b) {
      return way == db::direction::ascending ? a < b : b < a;
    }));
    auto other = page();
    other.order_by({"id"}, way);
    BOOST_TEST(code_of([&] { other.after(cursor); }) == errc::invalid_argument);
  }
}

BOOST_AUTO_TEST_CASE(a_change_that_meets_anothers_is_stale) {
  start();
  auto work = node->open_session();
  auto changed = work.query(
      db::make_query("update account set amount = 1 where id = $1 and amount = $2", 1, 99)
          .expect_affected(1));
  auto committed = work.commit(); // not carried out: nothing goes behind an expectation
  BOOST_TEST(code_of(std::move(changed)) == errc::stale);
  BOOST_TEST(code_of(std::move(committed)) == errc::aborted);
  BOOST_TEST(rollbacks(cause::conflict) == 1U);
}

BOOST_AUTO_TEST_CASE(a_forgotten_session_does_what_was_asked_and_keeps_nothing) {
  start();
  {
    auto work = node->open_session();
    work.query("insert into note (text) values ('committed')").ignore();
    work.commit().ignore();
    work.query("insert into note (text) values ('forgotten')").ignore();
  }
  BOOST_TEST(await_until([&] { return rollbacks(cause::abandoned) == 1U; }));
  BOOST_TEST(await_lent(0));
  BOOST_TEST(database.value("select string_agg(text, ',') from note") == "committed");
}

BOOST_AUTO_TEST_CASE(an_idle_session_and_one_that_lasts_too_long_are_rolled_back) {
  start();
  auto idle = node->open_session({.idle_timeout = 1s});
  auto slow = node->open_session({.max_duration = 300ms});
  idle.query("insert into note (text) values ('idle')").get();
  auto nap = slow.query("select pg_sleep(30)");
  BOOST_TEST(code_of(std::move(nap)) == errc::aborted);
  BOOST_TEST(await_until([&] { return rollbacks(cause::timed_out) == 2U; }));
  BOOST_TEST(code_of(idle.commit()) == errc::aborted);
  BOOST_TEST(await_lent(0));
  idle.rollback().get();
  idle.query("insert into note (text) values ('again')").ignore();
  static_cast<void>(idle.commit().get()); // right behind it, before anything is idle again
  BOOST_TEST(database.value("select string_agg(text, ',') from note") == "again");
}

BOOST_AUTO_TEST_CASE(a_session_whose_server_process_dies_says_so_and_goes_on_after_a_rollback) {
  start();
  auto work = node->open_session();
  work.savepoint("part").ignore();
  const auto pid = work.query("select pg_backend_pid()").get().one<std::int32_t>();
  database.exec("select pg_terminate_backend(" + std::to_string(pid) + ")");
  BOOST_TEST(code_of(work.query("select 1")) == errc::unavailable);
  BOOST_TEST(code_of(work.commit()) == errc::aborted);
  work.rollback().get();
  work.query("insert into note (text) values ('again')").get();
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "1");
}

BOOST_AUTO_TEST_CASE(a_session_that_outlives_its_engine_says_that_it_has_ended) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('lost')").get();
  auto nap = work.query("select pg_sleep(60)");
  BOOST_TEST(node->stop());
  BOOST_TEST(code_of(std::move(nap)) == errc::stopping);
  work.add({.kind = "noop"});
  BOOST_TEST(code_of(work.commit()) == errc::stopping);
  BOOST_TEST(code_of([&] { static_cast<void>(node->open_session()); }) == errc::stopping);
  BOOST_TEST(count("note") == "0");
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
  node.reset();
  BOOST_TEST(code_of(work.rollback()) == errc::stopping);
}

BOOST_AUTO_TEST_CASE(more_sessions_than_connections_take_turns) {
  start();
  std::vector<session> works;
  std::vector<pending<db::committed_work>> ends;
  for (int i = 0; i < 200; ++i) {
    works.push_back(node->open_session());
    works.back().query("insert into note (text) values ('x')").ignore();
    ends.push_back(works.back().commit());
  }
  for (auto& end : ends)
    static_cast<void>(std::move(end).get());
  BOOST_TEST(count("note") == "200");
}

BOOST_AUTO_TEST_CASE(what_the_engines_sessions_set_is_not_there_for_others) {
  start();
  auto first = node->open_session();
  first.query("set application_name = 'mine'").get();
  first.query("create temporary table mine (id int)").get();
  static_cast<void>(first.commit().get());
  BOOST_TEST(await_lent(0));
  for (int i = 0; i < 8; ++i) {
    auto next = node->open_session();
    BOOST_TEST(next.query("select current_setting('application_name')").get().one<std::string>()
               != "mine");
    BOOST_TEST(code_of(next.query("select * from mine")) != errc::none);
    next.rollback().get();
  }
}

BOOST_AUTO_TEST_SUITE_END()
