// The engine's statements go by index whatever the statistics say, and however the connection
// plans: tables that were small when the server looked at them last are never read from end to end.
#include "db/bulk_statements.hpp"
#include "db/report_statements.hpp"
#include "tests/db/keyed_desk.hpp"
#include "tests/db/work_desk.hpp"

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

/// Begins a transaction. What the server has counted of those before may not have been reported
/// yet.
void begin(desk& at) {
  at.begin();
  at.ask(make_query("create temporary table before on commit drop as "
                    "select relid, seq_scan from pg_stat_xact_user_tables"));
}

/// Tables that were read whole since then.
std::string read_whole(desk& at) {
  return at
      .ask(make_query(
          "select coalesce(string_agg(relname, ' ' order by relname), '') "
          "from pg_stat_xact_user_tables x left join before b on b.relid = x.relid "
          "where schemaname = 'troupe' and x.seq_scan > coalesce(b.seq_scan, 0) "
          "and relname ~ '^(attempt|deferred|idempotency|item|job|key_|page|parked|permit|progress|"
          "ready|tally|unique_)'"))
      .one()
      .get<std::string>(0);
}

/// Rows that were fetched by index since the transaction began.
std::int64_t fetched(desk& at) {
  return at
      .ask(
          make_query("select coalesce(sum(idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables "
                     "where schemaname = 'troupe'"))
      .one()
      .get<std::int64_t>(0);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(plans, jobs_database)

BOOST_AUTO_TEST_CASE(no_statement_of_the_engine_reads_a_table_whole_that_was_small) {
  at.enqueue_many(20);
  at.finish(at.claim(5));
  at.finish(at.claim(5), failed("again"));
  const auto waits = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  const auto crawl = at.enqueue();
  crawl_spec spec;
  spec.url = "http://a.test/";
  at.ask(open_crawl_query({crawl, spec}));
  database.exec("vacuum analyze");
  const auto ready = at.enqueue();
  const auto runs = at.claim_one();
  const run_key run{runs.lease, runs.jobs.at(0)->id, 1};
  for (const auto how : {on_conflict::reject, on_conflict::replace})
    put(at, unique_job(how));
  put(at, enqueue_jobs{{{.kind = "noop"}}, "key"});
  database.exec("vacuum analyze");
  begin(at);
  for (int round = 0; round < 8; ++round) { // more than it takes to have a plan for all values
    at.enqueue_many(2);
    at.find(waits);
    at.ask(jobs_query({{waits, ready, crawl}}));
    at.ask(attempts_query(std::vector{waits, ready, crawl}));
    at.ask(watch_query({{{waits, {}, 0}, {ready, 1, 2}, {crawl, {}, 0}, {job_id{4711}, {}, 0}}}));
    for (const auto state :
         {job_state::pending, job_state::scheduled, job_state::available, job_state::running,
          job_state::retryable, job_state::completed, job_state::cancelled, job_state::discarded}) {
      list_jobs one;
      one.filter.state = state;
      at.list(one);
      one.filter.created_before = timestamp{std::chrono::hours{24 * 36'500}};
      at.list(one);
    }
    at.list({});
    at.list({{.tags = {"t"}}, {}, 50});
    at.ask(nodes_query({}));
    at.ask(measure_query({}));
    at.ask(node_query({"test"}));
    at.ask(report_query({{{run, 5.0 * round, "said"}}, {{run, line_level::info, "said"}}}));
    at.ask(log_query({run.job, 0, 2}));
    at.ask(items_query({crawl, {}, 10}));
    at.beat();
    at.why(waits);
    at.why(ready);
    at.why(crawl);
    at.promote();
    put(at, unique_job(on_conflict::replace, "[" + std::to_string(round) + "]"));
    put(at, unique_job(on_conflict::existing));
    put(at, enqueue_jobs{{{.kind = "noop"}}, "key"});
    put(at, enqueue_jobs{{unique_job(on_conflict::existing)}, "key " + std::to_string(round)});
    at.ask(make_query("select keys_dropped from troupe.forget_keys()"));
  }
  at.cancel(ready);
  at.retry(ready);
  at.cancel(ready);
  at.remove(ready);
  at.finish(at.claim(5));
  BOOST_TEST(read_whole(at) == "");
  // The same question as a statement of a user's own: the server knows that the table is small.
  at.ask(make_query("select * from troupe.deferred where job_id = $1", waits));
  BOOST_TEST(read_whole(at) == "deferred");
  at.rollback();
}

BOOST_AUTO_TEST_CASE(no_statement_of_a_worker_by_http_reads_a_table_whole_that_was_small) {
  worker one{at};
  one.join();
  at.enqueue_many(5);
  database.exec("vacuum analyze"); // of small tables
  at.enqueue_many(40);
  begin(at);
  for (int round = 0; round < 8; ++round) {
    const auto jobs = one.claim_all(2);
    BOOST_REQUIRE(!jobs.empty());
    std::vector<job_id> ids;
    for (const auto& job : jobs)
      ids.push_back(job.id);
    one.report({{{{jobs[0].lease, jobs[0].id, jobs[0].attempt}, 5.0, "said"}},
                {{{jobs[0].lease, jobs[0].id, jobs[0].attempt}, line_level::info, "said"}}});
    at.cancel(ids.back());
    one.beat(ids);
    at.ask(make_query("update troupe.lease set taken_at = taken_at - interval '1 minute'"));
    ids.pop_back();
    one.beat(ids);
    one.finish(jobs[0]);
    one.finish(jobs[0]);
    for (const auto& job : jobs)
      one.finish(job, failed("again"));
    at.enqueue_many(4);
  }
  one.claim();
  one.leave();
  BOOST_TEST(read_whole(at) == "");
  at.rollback();
}

BOOST_AUTO_TEST_CASE(no_step_of_a_bulk_reads_a_table_whole_that_was_small) {
  at.join();
  database.exec("vacuum analyze"); // of empty tables
  at.limit_keys(2, "keyed");
  for (const auto* queue : {"a", "b", "keyed"})
    at.enqueue(std::vector<job_spec>(
        20, job_spec{.kind = "noop", .queue = queue, .tags = {"t"}, .limit_key = "k"}));
  at.claim(5, "keyed");
  at.finish(at.claim(5, "a"), failed("again"));
  at.finish(at.claim(5, "a"));
  put(at, unique_job());
  begin(at);
  for (int round = 0; round < 8; ++round) {
    const auto all = [&](bulk_request what) {
      at.ask(preview_bulk_query({what}));
      at.ask(start_bulk_query({what}));
      for (int steps = 0; steps < 40; ++steps)
        if (const auto done = decode_stepped(at.ask(step_bulk_query(20))); done.id == 0)
          return;
        else
          BOOST_REQUIRE_EQUAL(done.error, "");
    };
    const auto there = round % 2 == 0 ? "b" : "a";
    all({.action = bulk_action::move, .all = true, .to_queue = there});
    all({.action = bulk_action::reprioritise, .filter = {.tags = {"t"}}, .to_priority = round % 3});
    all({.action = bulk_action::cancel, .filter = {.state = job_state::retryable}});
    all({.action = bulk_action::cancel, .filter = {.state = job_state::available, .queue = there}});
    all({.action = bulk_action::retry, .filter = {.state = job_state::cancelled}});
    all({.action = bulk_action::retry, .filter = {.state = job_state::completed}});
    const auto last = at.enqueue();
    at.ask(edit_query({.id = last, .priority = 3, .queue = "b"}));
    all({.action = bulk_action::remove, .ids = {last}});
    at.beat();
    at.claim(3, "b");
  }
  BOOST_TEST(read_whole(at) == "");
  at.rollback();
}

BOOST_AUTO_TEST_CASE(a_step_of_a_bulk_touches_few_rows_however_many_there_are) {
  database.exec("vacuum analyze"); // of empty tables
  at.enqueue_many(3000);
  for (int batch = 0; batch < 4; ++batch)
    at.finish(at.claim(300));
  at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  for (const auto state : {job_state::available, job_state::completed, job_state::scheduled,
                           job_state::running, job_state::retryable})
    BOOST_TEST_CONTEXT(to_string(state)) {
      const auto action = state == job_state::completed ? bulk_action::remove : bulk_action::cancel;
      at.ask(start_bulk_query({{.action = action, .filter = {.state = state}}}));
      const bool by_id = state == job_state::available || state == job_state::completed;
      begin(at);
      const auto before = fetched(at);
      at.ask(step_bulk_query(20));
      BOOST_TEST_MESSAGE(fetched(at) - before << " rows");
      BOOST_TEST(fetched(at) - before < (by_id ? 6000 : 300));
      at.rollback();
      database.exec("delete from troupe.bulk_operation");
    }
}

BOOST_AUTO_TEST_CASE(no_statement_about_limits_reads_a_table_whole_that_was_small) {
  at.join();
  at.limit(50);
  at.limit_rate(job_rate{1000, std::chrono::milliseconds{1}, 1000});
  at.limit_keys(2);
  at.limit_key_rate(job_rate{1000, std::chrono::milliseconds{1}, 1000});
  database.exec("select troupe.limit_waiting('default', 100)");
  at.enqueue_many(3);
  at.keep_up();
  database.exec("vacuum analyze");
  begin(at);
  for (int round = 0; round < 8; ++round) {
    const auto jobs = at.enqueue_keyed(6, "a");
    at.enqueue_keyed(1, "key " + std::to_string(round));
    at.enqueue_many(3);
    const auto first = at.claim_for(4, 50, 0);
    const auto second = at.claim_for(4, 50, 4);
    finish_runs some{at.node, {}, {}, {}};
    if (!first.jobs.empty())
      some.runs.push_back(ended(first, *first.jobs[0], completed()));
    at.finish(some);
    at.finish(second);
    at.claim_for(4, 50, 0);
    at.cancel(jobs.back());
    at.beat();
    at.queue();
    at.queues();
    at.ask(make_query("select count(*) from troupe.counts()"));
    at.ask(make_query("select troupe.fold_tallies()"));
    at.why(jobs.front());
    at.why(jobs.back());
    at.finish(finish_runs{at.node, {}, {}, {{"default", {1, 1}}}});
    at.limit(50 + round);
    at.limit_keys(3 + round);
    if (round == 4) { // all that runs is looked at, and all that waits given back
      at.limit_keys(std::nullopt);
      at.limit_key_rate(std::nullopt);
      at.limit_keys(2);
    }
  }
  BOOST_TEST(read_whole(at) == "");
  at.rollback();
}

// A join of whole tables would be by index, too.
BOOST_AUTO_TEST_CASE(a_page_of_jobs_touches_few_rows_however_many_there_are) {
  database.exec("vacuum analyze"); // of empty tables
  const auto first = at.enqueue_many(2000).front();
  for (std::int64_t id = 1; id <= 100; ++id)
    at.cancel(job_id{first.value + 1500 + id});
  for (int batch = 0; batch < 4; ++batch)
    at.finish(at.claim(300));
  at.claim(100);
  at.enqueue(std::vector<job_spec>(500, job_spec{.kind = "noop", .delay = std::chrono::hours{1}}));
  begin(at);
  for (const std::optional<job_state> state :
       {std::optional<job_state>{}, std::optional{job_state::scheduled},
        std::optional{job_state::available}, std::optional{job_state::completed},
        std::optional{job_state::cancelled}, std::optional{job_state::running}}) {
    list_jobs page;
    page.limit = 20;
    page.filter.state = state;
    const auto before = fetched(at);
    BOOST_TEST(at.list(page).jobs.size() == 20U);
    if (state != job_state::available) // for these all newer ones are passed by
      BOOST_TEST(fetched(at) - before <= 200, (state ? to_string(*state) : "any")
                                                  << ": " << fetched(at) - before);
  }
  // A search reads what it looks at, and of that twice as much as the page has at first.
  for (const std::optional<job_state> state :
       {std::optional<job_state>{}, std::optional{job_state::scheduled},
        std::optional{job_state::cancelled}, std::optional{job_state::running}}) {
    list_jobs page{{.state = state, .created_from = timestamp{}}, {}, 20};
    const auto before = fetched(at);
    BOOST_TEST(at.list(page).jobs.size() == 20U);
    BOOST_TEST(fetched(at) - before <= 600, (state ? to_string(*state) : "any")
                                                << ": " << fetched(at) - before);
  }
  at.rollback();
}

BOOST_AUTO_TEST_CASE(what_holds_a_job_is_told_from_few_rows_however_many_there_are) {
  at.limit(5000);
  at.limit_keys(5000);
  database.exec("vacuum analyze"); // of empty tables
  at.join();
  const auto done = at.enqueue_keyed(2000, "a").front();
  for (const auto& batch : at.drain(500))
    at.finish(batch);
  const auto aside = at.enqueue_keyed(20, "a");
  const auto later = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  at.beat();
  begin(at);
  for (const auto id : {done, later, aside.front(), aside.back()}) {
    const auto before = fetched(at);
    at.why(id);
    BOOST_TEST(fetched(at) - before <= 100, id.value << ": " << fetched(at) - before);
  }
  BOOST_TEST(read_whole(at) == "");
  at.rollback();
}

BOOST_AUTO_TEST_CASE(what_late_writers_put_in_is_handed_out_without_a_look_at_what_was_before) {
  const auto run_all = [&] {
    for (const auto& batch : at.drain(500))
      at.finish(batch);
  };
  at.join();
  at.enqueue_many(4096); // in all lanes
  run_all();
  for (const bool keyed : {false, true}) {
    if (keyed)
      at.limit_keys(5);
    desk writer(database.url());
    writer.begin();
    writer.enqueue_many(1024);
    at.enqueue_many(1024);
    run_all();
    writer.commit();
    auto before = fetched(at);
    begin(at);
    BOOST_TEST(at.claim(20).jobs.size() == 20U);
    BOOST_TEST(fetched(at) - before <= 600, "claim: " << fetched(at) - before);
    before = fetched(at);
    BOOST_TEST(at.queue()->waiting == 1004);
    BOOST_TEST(fetched(at) - before <= 2500, "queue: " << fetched(at) - before);
    at.commit();
    run_all();
  }
}

BOOST_AUTO_TEST_CASE(no_statement_about_ordered_queues_reads_a_table_whole_that_was_small) {
  at.join();
  at.order(true);
  at.enqueue_many(5);
  database.exec("vacuum analyze");
  begin(at);
  for (int round = 0; round < 8; ++round) {
    const auto jobs = at.enqueue_many(6);
    auto batch = at.claim_for(5, 16, 0);
    at.claim_for(5, 16, 0);
    at.why(jobs.back());
    at.beat();
    at.finish(batch, failed("no"));
    at.claim_for(5, 16, 0);
    at.why(jobs.back());
    at.retry(batch.jobs.at(0)->id);
    at.queue();
    at.promote();
    at.finish(at.claim_for(5, 16, 0));
    at.cancel(jobs.front());
    put(at, unique_job(on_conflict::replace, "[" + std::to_string(round) + "]"));
  }
  at.order(false);
  at.order(true);
  BOOST_TEST(read_whole(at) == "");
  at.rollback();
}

BOOST_AUTO_TEST_CASE(an_ordered_claim_touches_few_rows_however_many_wait) {
  at.join();
  at.enqueue_many(20);
  at.finish(at.claim_for(10, 16, 0));
  database.exec("vacuum analyze");
  for (int i = 0; i < 4; ++i)
    at.enqueue_many(10'000);
  at.order(true);
  at.finish(at.claim_for(1, 16, 0));
  begin(at);
  const auto before = fetched(at);
  BOOST_TEST(at.claim_for(1, 16, 0).jobs.size() == 1U);
  BOOST_TEST(fetched(at) - before <= 100, fetched(at) - before);
  at.rollback();
}

BOOST_AUTO_TEST_SUITE_END()
