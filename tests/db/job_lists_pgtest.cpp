// Jobs as one sees them: every state in get, in the lists and in the view; pages without gaps.
#include "tests/db/random_jobs.hpp"

#include <map>
#include <random>
#include <set>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(looking, jobs_database)

BOOST_AUTO_TEST_CASE(every_state_is_the_same_in_get_in_each_list_and_in_the_view) {
  std::map<std::string, job_id> by_state;
  const auto make = [&](const std::string& name) {
    return by_state[name] = at.enqueue(job_spec{.kind = "kind-" + name, .queue = "queue-" + name});
  };
  make("available");
  by_state["scheduled"] =
      at.enqueue(job_spec{.kind = "kind-scheduled", .queue = "queue-scheduled", .delay = 1h});
  make("running");
  at.claim(1, "queue-running");
  make("retryable");
  at.finish(at.claim(1, "queue-retryable"), failed("x"));
  make("completed");
  at.finish(at.claim(1, "queue-completed"));
  make("discarded");
  at.finish(at.claim(1, "queue-discarded"), discarded("x"));
  at.cancel(make("cancelled"));
  BOOST_TEST(at.list({}).jobs.size() == 7U);
  for (const auto& [name, id] : by_state) {
    BOOST_TEST(at.state(id) == name);
    BOOST_TEST(
        database.value("select state from troupe.jobs where id = " + std::to_string(id.value))
        == name);
    for (const auto& [other, other_id] : by_state) {
      const auto page = at.list(
          {{.state = parse_job_state(other), .queue = "queue-" + name, .kind = "kind-" + name},
           {},
           50});
      BOOST_TEST(page.jobs.size() == (other == name ? 1U : 0U), name << " among " << other);
    }
    const auto page = at.list({{.state = parse_job_state(name), .queue = {}, .kind = {}}, {}, 50});
    BOOST_REQUIRE(page.jobs.size() == 1U);
    BOOST_TEST((page.jobs[0].id == id));
    BOOST_TEST((page.jobs[0].state == parse_job_state(name)));
    const auto one = at.get(id);
    BOOST_TEST(page.jobs[0].attempt == one.attempt, name);
    BOOST_TEST(page.jobs[0].node == one.node, name);
    BOOST_TEST((page.jobs[0].started_at == one.started_at), name);
    BOOST_TEST(one.node == (name == "running" ? "test" : ""), name);
    BOOST_TEST(one.started_at.has_value() == (name == "running"), name);
    BOOST_TEST(at.list({{.state = parse_job_state(name), .queue = "elsewhere", .kind = {}}, {}, 50})
                   .jobs.empty());
    BOOST_TEST(at.list({{.state = parse_job_state(name), .queue = {}, .kind = "other"}, {}, 50})
                   .jobs.empty());
  }
  BOOST_TEST(
      at.list({{.state = job_state::pending, .queue = {}, .kind = {}}, {}, 50}).jobs.empty());
  BOOST_TEST(!at.find(job_id{123456789}).has_value());
}

BOOST_AUTO_TEST_CASE(a_list_without_args_is_the_same_but_for_these_and_does_not_read_them) {
  std::string args = R"({"text":")";
  std::mt19937 random{7};
  for (int i = 0; i < 100 * 1024; ++i) // nothing that could be compressed
    args += static_cast<char>('a' + random() % 26);
  args += "\"}";
  for (int i = 0; i < 20; ++i)
    at.enqueue(job_spec{.kind = "large", .args = args, .tags = {"a", "b"}});
  at.claim_one();
  const auto blocks = [&] {
    return at
        .ask(db::make_query(
            "select sum(pg_stat_get_xact_blocks_fetched(c.reltoastrelid))::bigint from pg_class c "
            "where c.oid in (select inhrelid from pg_inherits "
            "where inhparent = 'troupe.job'::regclass)"))
        .one()
        .get<std::int64_t>(0);
  };
  /// The page, and how many blocks of large values it took.
  const auto page = [&](bool with_args) {
    at.begin(); // what was counted is not taken away within a transaction
    const auto before = blocks();
    auto jobs = at.list({.filter = {}, .before = {}, .args = with_args}).jobs;
    const auto read = blocks() - before;
    at.rollback();
    return std::pair{std::move(jobs), read};
  };
  const auto [whole, all_read] = page(true);
  const auto [brief, none_read] = page(false);
  BOOST_TEST(all_read > 200);
  BOOST_TEST(none_read == 0);
  BOOST_REQUIRE(brief.size() == 20U);
  for (std::size_t i = 0; i < brief.size(); ++i) {
    BOOST_TEST(whole.at(i).args.size() > 100U * 1024);
    BOOST_TEST(brief[i].args == "{}");
    BOOST_TEST(brief[i].id == whole[i].id);
    BOOST_TEST(brief[i].state == whole[i].state);
    BOOST_TEST(brief[i].node == whole[i].node);
    BOOST_TEST(brief[i].tags == whole[i].tags, boost::test_tools::per_element());
    BOOST_TEST((brief[i].created_at == whole[i].created_at));
  }
}

BOOST_AUTO_TEST_CASE(pages_of_every_state_have_no_gaps_and_no_doubles) {
  at.enqueue_many(25, "available");
  at.enqueue(std::vector<job_spec>(25, job_spec{.kind = "noop", .queue = "s", .delay = 1h}));
  for (const auto& [queue, result] :
       std::map<std::string, std::optional<job_result>>{{"running", std::nullopt},
                                                        {"completed", completed()},
                                                        {"discarded", discarded("x")},
                                                        {"retryable", failed("x")}}) {
    at.enqueue_many(25, queue);
    for (const auto& batch : at.drain(10, queue))
      if (result)
        at.finish(batch, *result);
  }
  for (const auto id : at.enqueue_many(25, "cancelled"))
    at.cancel(id);
  for (const auto state :
       {job_state::available, job_state::scheduled, job_state::running, job_state::completed,
        job_state::discarded, job_state::retryable, job_state::cancelled}) {
    std::vector<std::int64_t> seen;
    list_jobs ask{{.state = state, .queue = {}, .kind = {}}, {}, 7};
    for (int pages = 0; pages < 10; ++pages) {
      const auto page = at.list(ask);
      for (const auto& job : page.jobs) {
        BOOST_TEST((job.state == state));
        seen.push_back(job.id.value);
      }
      if (!page.next)
        break;
      ask.before = *page.next;
    }
    BOOST_TEST(seen.size() == 25U);
    BOOST_TEST(std::is_sorted(seen.rbegin(), seen.rend()));
    BOOST_TEST(std::set(seen.begin(), seen.end()).size() == 25U);
  }
}

BOOST_AUTO_TEST_CASE(a_page_of_huge_jobs_ends_early_and_none_is_left_out) {
  constexpr std::size_t megabyte = 1024 * 1024;
  const auto huge = [](std::size_t bytes) {
    return job_spec{.kind = "noop", .args = '"' + std::string(bytes - 2, 'x') + '"'};
  };
  // More than an answer of the database may have, and one page that stops a byte before its bound.
  std::vector<job_id> put;
  for (int i = 0; i < 70; ++i)
    put.push_back(at.enqueue(huge(i == 55 ? megabyte - 1 : megabyte)));
  std::vector<std::size_t> sizes;
  std::vector<job_id> seen;
  list_jobs ask{{}, {}, 500};
  for (;;) {
    const auto page = at.list(ask);
    sizes.push_back(page.jobs.size());
    for (const auto& job : page.jobs) {
      seen.push_back(job.id);
      BOOST_TEST(job.args.size() >= megabyte - 1);
    }
    if (!page.next)
      break;
    ask.before = *page.next;
  }
  BOOST_TEST(sizes == (std::vector<std::size_t>{17, 16, 16, 16, 5}),
             boost::test_tools::per_element());
  std::reverse(seen.begin(), seen.end());
  BOOST_TEST((seen == put));
  ask.before = {};
  ask.limit = 3;
  BOOST_TEST(at.list(ask).jobs.size() == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_page_is_what_its_jobs_are_one_by_one_in_all_states_and_partitions,
                        random_jobs) {
  play(150);
  const std::vector<std::string> states = {"null",        "'available'", "'scheduled'",
                                           "'retryable'", "'running'",   "'completed'",
                                           "'cancelled'", "'discarded'"};
  const std::vector<std::string> queues = {"null", "'a'", "'b'", "'rare'"};
  int close = 0;
  int apart = 0;
  const auto look = [&](const std::string& state, const std::string& queue,
                        const std::string& kind) {
    const auto before = std::to_string(any().value + below(3));
    const auto limit = std::to_string(1 + below(60));
    const auto page = "troupe.list_jobs(" + state + ", " + before + ", " + queue + ", " + kind
                      + ", " + limit + ")";
    const auto row =
        at
            .ask(db::make_query(
                "with page as materialized (select l.*, row_number() over () as at from " + page
                + " l) select "
                  // As the view says, which knows nothing of pages.
                  "array(select id from page order by at) = array(select j.id from troupe.jobs j "
                  "where j.id < "
                + before + " and (" + state + " is null or j.state = " + state + ") and (" + queue
                + " is null or j.queue = " + queue + ") and (" + kind
                + " is null or j.kind = " + kind + ") order by j.id desc limit " + limit
                + "), "
                  "(select count(*) from page p cross join lateral troupe.jobs_of(array[p.id]) o "
                  "where (p.id, p.queue, p.kind, p.priority, p.state, p.args, p.attempt, "
                  "p.max_attempts, p.timeout_ms, p.tags, p.run_at, p.created_at, p.limit_key, "
                  "p.node, p.taken_at) "
                  "is distinct from (o.id, o.queue, o.kind, o.priority, o.state, o.args, "
                  "o.attempt, o.max_attempts, o.timeout_ms, o.tags, o.run_at, o.created_at, "
                  "o.limit_key, o.node, o.taken_at)), "
                  "(select count(*) from page), "
                  "(select coalesce(max(id) - min(id), 0) from page)"))
            .one();
    BOOST_TEST(row.get<bool>(0), page);
    BOOST_TEST(row.get<std::int64_t>(1) == 0, page);
    if (const auto count = row.get<std::int64_t>(2); count > 0)
      ++(row.get<std::int64_t>(3) < 4 * count ? close : apart); // as the function distinguishes
  };
  for (int round = 0; round < 5; ++round)
    for (const auto& state : states)
      for (const auto& queue : queues)
        look(state, queue, below(3) == 0 ? "'k'" : "null");
  // Where and since when each of them runs is what a look at itself says.
  BOOST_TEST(database.value("select count(*) filter (where g.node is not null) > 0 and "
                            "bool_and((l.node, l.taken_at) is not distinct from (g.node, "
                            "g.taken_at)) from troupe.list_jobs(null, 9223372036854775807, null, "
                            "null, 100000) l cross join lateral troupe.get_job(l.id) g")
             == "t");
  BOOST_TEST(close > 20);
  BOOST_TEST(apart > 20);
}

BOOST_FIXTURE_TEST_CASE(several_at_once_are_what_they_are_one_by_one_and_those_gone_are_missing,
                        random_jobs) {
  play(150);
  for (int round = 0; round < 20; ++round) {
    std::set<std::int64_t> some;
    for (int i = 1 + below(32); i > 0; --i)
      some.insert(any().value);
    const auto row =
        at.ask(db::make_query(
                   "select (select count(*) from unnest($1::bigint[]) i cross join lateral "
                   "troupe.get_job(i) o full join troupe.get_jobs($1) g on g.id = o.id "
                   "where g is distinct from o), "
                   "(select count(*) from (select i, o.* from unnest($1) i cross join lateral "
                   "troupe.list_attempts(i) o) o full join troupe.attempts_of($1) g "
                   "on g.job_id = o.i and g.attempt = o.attempt "
                   "where (g.outcome, g.node, g.started_at, g.finished_at, g.result, g.error) "
                   "is distinct from (o.outcome, o.node, o.started_at, o.finished_at, o.result, "
                   "o.error))",
                   std::vector(some.begin(), some.end())))
            .one();
    BOOST_TEST(row.get<std::int64_t>(0) == 0);
    BOOST_TEST(row.get<std::int64_t>(1) == 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
