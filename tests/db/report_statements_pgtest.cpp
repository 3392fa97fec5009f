// What runs say: stored while the lease holds and no outcome is there, and gone with its job.
#include "db/report_statements.hpp"
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

struct reporting : jobs_database {
  job_id id = at.enqueue();
  claimed_jobs held = at.claim_one();

  run_key key(const claimed_jobs& of) const {
    return {of.lease, of.jobs.at(0)->id, of.jobs.at(0)->attempt};
  }
  /// The jobs that were fenced.
  std::vector<job_id> report(const record_reports& what) {
    return decode_reported(at.ask(report_query(what))).fenced;
  }
  std::vector<job_id> say(const run_key& run, const std::string& text) {
    return report({{}, {{run, line_level::info, text}}});
  }
  std::vector<job_id> progress(const run_key& run, std::optional<double> percent,
                               const std::string& message = "") {
    return report({{{run, percent, message}}, {}});
  }
  log_page log(std::int64_t after = 0, int limit = 100) {
    const get_log question{id, after, limit};
    return decode_log(at.ask(log_query(question)), question);
  }
  std::string left() {
    return database.value("select (select count(*) from troupe.progress) || ' '"
                          " || (select count(*) from troupe.job_log)");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(reports, reporting)

BOOST_AUTO_TEST_CASE(the_last_progress_is_the_jobs) {
  BOOST_TEST(!at.find(id)->progress);
  BOOST_TEST(progress(key(held), 12.5, "one eighth").empty());
  BOOST_TEST(progress(key(held), std::nullopt, "nobody knows").empty());
  auto job = *at.find(id);
  BOOST_REQUIRE(job.progress);
  BOOST_TEST(!job.progress->percent);
  BOOST_TEST(job.progress->message == "nobody knows");
  BOOST_TEST(progress(key(held), 100).empty());
  at.finish(held);
  job = *at.find(id);
  BOOST_TEST(job.progress->percent.value() == 100);
  BOOST_TEST(job.progress->message == "");
  BOOST_TEST(job.progress->attempt == 1);
}

BOOST_AUTO_TEST_CASE(lines_come_back_in_their_order_page_by_page) {
  record_reports what;
  for (int i = 0; i < 5; ++i)
    what.lines.push_back({key(held), i == 3 ? line_level::error : line_level::debug,
                          "line " + std::to_string(i), std::chrono::milliseconds{1000 - i}});
  BOOST_TEST(report(what).empty());
  auto page = log(0, 2);
  BOOST_REQUIRE(page.lines.size() == 2U);
  BOOST_TEST(page.lines[0].text == "line 0");
  BOOST_TEST((page.lines[0].at < page.lines[1].at));
  page = log(page.next.value(), 2);
  BOOST_TEST(page.lines.at(0).text == "line 2");
  BOOST_TEST((page.lines.at(1).level == line_level::error));
  page = log(page.next.value(), 2);
  BOOST_TEST(page.lines.size() == 1U);
  BOOST_TEST(!page.next);
  id = job_id{4711};
  BOOST_CHECK_EXCEPTION(log(), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(what_comes_behind_the_outcome_is_fenced) {
  say(key(held), "in time");
  at.finish(held, failed("no"), std::chrono::milliseconds{0}, false);
  BOOST_TEST(say(key(held), "late") == std::vector{id});
  BOOST_TEST(progress(key(held), 50) == std::vector{id});
  BOOST_TEST(log().lines.size() == 1U);
  BOOST_TEST(!at.find(id)->progress);
}

BOOST_AUTO_TEST_CASE(a_run_that_was_taken_away_says_nothing_while_its_successor_speaks) {
  const auto old = key(held);
  at.leave();
  at.rescue(at.node);
  at.join();
  held = at.claim_one();
  BOOST_REQUIRE(held.jobs.at(0)->id == id);
  // Of both at once, and of the attempt that the other one has.
  auto stale = old;
  stale.attempt = key(held).attempt;
  const auto fenced =
      report({{{key(held), 10, "mine"}, {old, 90, "his"}, {stale, 95, "his"}},
              {{key(held), line_level::info, "mine"}, {old, line_level::info, "his"}}});
  BOOST_TEST(fenced == std::vector{id});
  BOOST_TEST(at.find(id)->progress->message == "mine");
  BOOST_REQUIRE(log().lines.size() == 1U);
  BOOST_TEST(log().lines[0].text == "mine");
}

BOOST_AUTO_TEST_CASE(a_cancelled_run_is_fenced_before_it_knows) {
  at.cancel(id);
  BOOST_TEST(say(key(held), "late") == std::vector{id});
}

BOOST_AUTO_TEST_CASE(a_rescue_waits_for_what_is_being_said) {
  at.begin();
  say(key(held), "mine");
  desk other{database.url()};
  other.ask(leave_query({at.node}));
  other.send(rescue_query({at.node}));
  BOOST_TEST(other.waits(database));
  at.commit();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(log().lines.size() == 1U);
}

BOOST_AUTO_TEST_CASE(what_a_jobs_runs_said_is_deleted_with_it) {
  progress(key(held), 1);
  say(key(held), "a");
  at.finish(held);
  BOOST_TEST(left() == "1 1");
  at.remove(id);
  BOOST_TEST(left() == "0 0");
}

BOOST_AUTO_TEST_CASE(a_run_whose_job_was_cancelled_and_deleted_leaves_nothing_behind) {
  say(key(held), "in time");
  at.cancel(id);
  at.remove(id);
  BOOST_TEST(database.value("select count(*) from troupe.lease") == "1");
  BOOST_TEST(say(key(held), "late") == std::vector{id});
  BOOST_TEST(progress(key(held), 50) == std::vector{id});
  BOOST_TEST(left() == "0 0");
}

BOOST_AUTO_TEST_CASE(a_delete_waits_for_what_is_being_said_and_takes_it_along) {
  at.begin();
  say(key(held), "mine");
  desk other{database.url()};
  other.send(cancel_query(id));
  other.send(delete_query(id));
  BOOST_TEST(other.waits(database));
  at.commit();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(left() == "0 0");
}

BOOST_AUTO_TEST_CASE(partitions_are_made_ahead_for_them_as_for_the_jobs) {
  database.exec("select troupe.make_partitions(1000, 5)");
  BOOST_TEST(database.value(
                 "select count(*) from pg_inherits where inhparent = 'troupe.job_log'::regclass")
             == database.value(
                 "select count(*) from pg_inherits where inhparent = 'troupe.job'::regclass"));
  BOOST_TEST(database.value(
                 "select count(*) from pg_inherits where inhparent = 'troupe.progress'::regclass")
             == database.value(
                 "select count(*) from pg_inherits where inhparent = 'troupe.job'::regclass"));
  say(key(held), "in the first of them");
  BOOST_TEST(database.value("select count(*) from troupe.job_log_rest") == "0");
}

BOOST_AUTO_TEST_CASE(workers_in_plain_sql_report_one_at_a_time) {
  const auto run = std::to_string(held.lease.value) + ", " + std::to_string(id.value);
  BOOST_TEST(database.value("select troupe.report_progress(" + run + ", 1, 33, 'a third')") == "t");
  BOOST_TEST(database.value("select troupe.log(" + run + ", 1, 'a line', level => 3)") == "t");
  BOOST_TEST(database.value("select troupe.log(" + run + ", 2, 'of another attempt')") == "f");
  BOOST_TEST(at.find(id)->progress->percent.value() == 33);
  BOOST_REQUIRE(log().lines.size() == 1U);
  BOOST_TEST((log().lines[0].level == line_level::warn));
}

BOOST_AUTO_TEST_SUITE_END()
