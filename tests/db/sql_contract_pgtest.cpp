// The functions that other programs call in their own transactions: what they check, and that a
// worker of plain SQL is fenced like any node.
#include "tests/db/keyed_desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct sql_caller : jobs_database {
  desk other{database.url()};

  std::string sql(const std::string& text) {
    const auto rows = at.ask(db::make_query("select (" + text + ")::text"));
    return rows.one().get<std::optional<std::string>>(0).value_or("null");
  }
  /// The sentence of a refusal with TR400.
  std::string wrong(const std::string& text) {
    try {
      sql(text);
    } catch (const refused& e) {
      BOOST_TEST(is_invalid(e));
      return e.what();
    }
    return "accepted";
  }
  std::string enqueued(const std::string& arguments = "'k', queue => 'default'") {
    return sql("troupe.enqueue(" + arguments + ")");
  }
  void join() { at.node = node_id{std::stoll(sql("troupe.join_node('sql')"))}; }
  std::string finish(const claimed_jobs& of, std::size_t which, const std::string& more = {}) {
    const auto& run = *of.jobs.at(which);
    return sql("troupe.finish(" + std::to_string(at.node.value) + ", "
               + std::to_string(of.lease.value) + ", " + std::to_string(run.id.value) + ", "
               + std::to_string(run.attempt) + more + ")");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(sql_contract, sql_caller)

BOOST_AUTO_TEST_CASE(a_job_is_stored_as_its_arguments_say) {
  const auto id = job_id{std::stoll(enqueued(
      R"('k:1', '{"a":1}', queue => 'q', priority => 3, max_attempts => 7, timeout_ms => 5000, )"
      R"(tags => array['x', 'a,"b'], delay_ms => 3600000)"))};
  const auto job = at.get(id);
  BOOST_TEST(job.kind == "k:1");
  BOOST_TEST(job.queue == "q");
  BOOST_TEST(job.args == R"({"a": 1})");
  BOOST_TEST(job.priority == 3);
  BOOST_TEST(job.max_attempts == 7);
  BOOST_TEST((job.timeout == std::optional<std::chrono::milliseconds>{5s}));
  BOOST_TEST((job.tags == std::vector<std::string>{"x", "a,\"b"}));
  BOOST_TEST(job.state == job_state::scheduled);
  const auto plain = at.get(job_id{std::stoll(enqueued("'k'"))});
  BOOST_TEST(plain.queue == "default");
  BOOST_TEST(plain.max_attempts == 20);
  BOOST_TEST(plain.args == "{}");
  BOOST_TEST(plain.state == job_state::available);
  const auto past = job_id{std::stoll(enqueued("'k', run_at => now() - interval '1 hour'"))};
  BOOST_TEST(at.state(past) == "available");
}

BOOST_AUTO_TEST_CASE(what_no_job_can_have_is_refused_by_name) {
  for (const auto& [name, arguments] : std::vector<std::pair<std::string, std::string>>{
           {"kind", "null"},
           {"kind", "'a b'"},
           {"kind", "repeat('k', 129)"},
           {"queue", "'k', queue => ''"},
           {"queue", "'k', queue => null"},
           {"args", "'k', null"},
           {"priority", "'k', priority => 10"},
           {"priority", "'k', priority => null"},
           {"max_attempts", "'k', max_attempts => 0"},
           {"timeout_ms", "'k', timeout_ms => 0"},
           {"tags", "'k', tags => array_fill('t'::text, array[33])"},
           {"tags", "'k', tags => array['']"},
           {"tags", "'k', tags => array[null]::text[]"},
           {"run_at", "'k', run_at => now(), delay_ms => 1"},
           {"run_at", "'k', run_at => 'infinity'"},
           {"run_at", "'k', run_at => '1900-01-01'"},
           {"delay_ms", "'k', delay_ms => -1"},
           {"unique", "'k', unique_by => '[]'"}})
    BOOST_TEST(wrong("troupe.enqueue(" + arguments + ")").starts_with(name), arguments);
  BOOST_TEST(count("job") == 0);
}

BOOST_AUTO_TEST_CASE(a_limit_of_a_queue_is_taken_up_to_its_bounds_and_refused_by_name_beyond) {
  struct bound {
    std::string before, after, argument; // the call up to the value and from it on
    std::int64_t most;
  };
  for (const auto& [before, after, argument, most] :
       std::vector<bound>{{"limit_queue('q', ", ")", "concurrency", 1'000'000},
                          {"limit_keys('q', ", ")", "concurrency", 1'000'000},
                          {"limit_waiting('q', ", ")", "most", 1'000'000'000},
                          {"rate_queue('q', ", ", 86400000, 1)", "jobs", 1'000'000},
                          {"rate_queue('q', 1, ", ", 1)", "period_ms", 86'400'000},
                          {"rate_queue('q', 1, 1, ", ")", "burst", 1'000'000},
                          {"rate_keys('q', ", ", 86400000, 1)", "jobs", 1'000'000},
                          {"rate_keys('q', 1, ", ", 1)", "period_ms", 86'400'000},
                          {"rate_keys('q', 1, 1, ", ")", "burst", 1'000'000}}) {
    const auto call = [&](std::int64_t value) {
      return "troupe." + before + std::to_string(value) + after;
    };
    for (const auto value : {std::int64_t{1}, std::int64_t{2}, most - 1, most})
      BOOST_TEST(wrong(call(value)) == "accepted", call(value));
    const auto row = sql("select q from troupe.queue q where name = 'q'");
    for (const auto value : {std::int64_t{-1}, std::int64_t{0}, most + 1})
      BOOST_TEST(wrong(call(value)).starts_with(argument + " must be 1 to " + std::to_string(most)),
                 call(value) << ": " << wrong(call(value)));
    BOOST_TEST(sql("select q from troupe.queue q where name = 'q'") == row);
  }
}

BOOST_AUTO_TEST_CASE(a_rate_is_whole_and_at_most_1000_jobs_a_millisecond) {
  for (const std::string function : {"troupe.rate_queue('q', ", "troupe.rate_keys('q', "}) {
    for (const std::string rate : {"1999, 2, 1)", "2000, 2, 1)", "null, null, null)"})
      BOOST_TEST(wrong(function + rate) == "accepted", function + rate);
    BOOST_TEST(wrong(function + "2001, 2, 1)").starts_with("jobs must be at most 1000 "));
    for (const std::string rate : {"1, null, null)", "null, 1, 1)", "1, 1, null)"})
      BOOST_TEST(wrong(function + rate).starts_with("jobs, period_ms and burst must be "),
                 function + rate);
  }
}

BOOST_AUTO_TEST_CASE(what_no_queue_can_be_called_is_neither_limited_nor_paused) {
  for (const std::string name : {"null", "''", "'a b'", "repeat('q', 129)"})
    for (const std::string call :
         {"limit_queue(@, 1)", "limit_keys(@, 1)", "limit_waiting(@, 1)", "rate_queue(@, 1, 1, 1)",
          "rate_keys(@, 1, 1, 1)", "order_queue(@, true)", "pause_queue(@)"}) {
      auto text = "troupe." + call;
      text.replace(text.find('@'), 1, name);
      BOOST_TEST(wrong(text).starts_with("queue must be 1 to 128 "), text);
    }
  BOOST_TEST(count("queue") == 0);
  for (const std::string length : {"127", "128"})
    BOOST_TEST(wrong("troupe.limit_queue(repeat('q', " + length + "), 1)") == "accepted");
}

BOOST_AUTO_TEST_CASE(a_queue_of_the_engine_takes_and_gives_no_others_jobs) {
  const std::string taken = "queue must not begin with \"troupe.\"";
  const auto many = [&](const std::string& queues) {
    return wrong("cardinality(troupe.enqueue_many(array['k', 'k', 'k'], array" + queues
                 + ", array_fill('{}'::jsonb, '{3}'), array_fill(0::smallint, '{3}')))");
  };
  for (const std::string name : {"troupe.exports", "troupe.", "troupe.a"}) {
    const auto quoted = "'" + name + "'";
    BOOST_TEST(wrong("troupe.enqueue('k', queue => " + quoted + ")").starts_with(taken));
    BOOST_TEST(wrong("troupe.enqueue('k', unique_by => '{}', queue => " + quoted + ")")
                   .starts_with(taken));
    BOOST_TEST(many("[" + quoted + ", " + quoted + ", " + quoted + "]").starts_with(taken));
    BOOST_TEST(many("['a', 'b', " + quoted + "]").starts_with(taken));
    for (const std::string bounds : {"[0:2]={", "[2:4]={"})
      BOOST_TEST(many("[]::text[] || '" + bounds + name + "," + name + "," + name + "}'::text[]")
                     .starts_with(taken));
    BOOST_CHECK_EXCEPTION(at.enqueue_here({{.kind = "k", .queue = name}}), refused, is_invalid);
    auto unique = unique_job();
    unique.queue = name;
    BOOST_CHECK_EXCEPTION(put(at, unique), refused, is_invalid);
  }
  BOOST_TEST(count("job") == 0);
  const auto id = enqueued();
  BOOST_TEST(wrong("troupe.edit(" + id + R"(, '{"queue":"troupe.a"}'))")
             == "queue must not begin with \"troupe.\": such queues are the engine's own");
  for (const std::string begin : {"bulk(", "bulk_preview("})
    BOOST_TEST(
        wrong("troupe." + begin + "'move', ids => array[" + id + "], to_queue => 'troupe.a')")
            .starts_with("to.queue must not begin with \"troupe.\""));
  join();
  BOOST_TEST(wrong("(select count(*) from troupe.claim(" + std::to_string(at.node.value)
                   + ", 'troupe.exports', 1))")
                 .starts_with(taken));
  for (const std::string name : {"troupe", "troupe:a", "Troupe.a", "a.troupe.b"})
    BOOST_TEST(many("['" + name + "', 'a', '" + name + "']") == "accepted", name);
}

BOOST_AUTO_TEST_CASE(a_unique_job_answers_with_the_one_that_is_there) {
  const auto first = enqueued("'k', unique_by => '{}'");
  BOOST_TEST(enqueued(R"('k', unique_by => '{"on_conflict":"existing"}')") == first);
  BOOST_TEST(enqueued(R"('k', '[1]', unique_by => '{"on_conflict":"replace"}')") == first);
  BOOST_TEST(at.get(job_id{std::stoll(first)}).args == "[1]");
  BOOST_CHECK_EXCEPTION(enqueued("'k', unique_by => '{}'"), refused, is_conflict);
  other.begin(); // and is as much part of the transaction as the job
  other.ask(db::make_query("select troupe.enqueue('other', unique_by => '{}')"));
  other.rollback();
  BOOST_TEST(enqueued("'other', unique_by => '{}'") != "null");
}

BOOST_AUTO_TEST_CASE(the_lease_goes_with_the_last_job_of_its_batch) {
  join();
  for (int i = 0; i < 4; ++i)
    enqueued();
  std::vector<claimed_jobs> batches = at.drain(4);
  for (const auto& batch : batches) {
    for (std::size_t i = 0; i < batch.jobs.size(); ++i)
      BOOST_TEST(finish(batch, i, i % 2 == 0 ? ", result => '[1]'" : ", 'failed', error => 'x'")
                 == "true");
    BOOST_TEST(finish(batch, 0) == "false");
  }
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(count("attempt") == 4);
}

BOOST_AUTO_TEST_CASE(two_that_end_at_the_same_time_leave_no_lease) {
  join();
  at.enqueue_many(2);
  const auto batch = at.claim(2);
  BOOST_REQUIRE(batch.jobs.size() == 2U);
  at.begin();
  BOOST_TEST(finish(batch, 0) == "true");
  other.send(db::make_query("select troupe.finish($1, $2, $3, 1)", at.node.value, batch.lease.value,
                            batch.jobs[1]->id.value));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  BOOST_TEST((other.later_code() == errc::none));
  BOOST_TEST(count("lease") == 0);
  BOOST_TEST(count("attempt") == 2);
}

BOOST_AUTO_TEST_CASE(every_outcome_has_its_state) {
  join();
  const std::vector<std::pair<std::string, std::string>> outcomes{
      {"", "completed"},
      {", 'discarded', error => 'no'", "discarded"},
      {", 'failed'", "retryable"},
      {", 'snoozed', retry_ms => 60000", "scheduled"}};
  for (const auto& [how, state] : outcomes) {
    const auto id = job_id{std::stoll(enqueued())};
    BOOST_TEST(finish(at.claim_one(), 0, how) == "true");
    BOOST_TEST(at.state(id) == state);
    BOOST_TEST(count("lease") == 0);
  }
  enqueued("'k', max_attempts => 1");
  const auto last = at.claim_one();
  finish(last, 0, ", 'failed', error => 'once'");
  BOOST_TEST(at.state(last.jobs[0]->id) == "discarded");
  enqueued();
  const auto run = at.claim_one();
  BOOST_CHECK_EXCEPTION(finish(run, 0, ", 'done'"), refused, is_invalid);
  BOOST_CHECK_EXCEPTION(finish(run, 0, ", 'snoozed'"), refused, is_invalid);
  BOOST_CHECK_EXCEPTION(finish(run, 0, ", 'failed', retry_ms => -1"), refused, is_invalid);
}

BOOST_AUTO_TEST_CASE(a_worker_that_was_taken_for_dead_or_whose_job_was_cancelled_is_fenced) {
  join();
  enqueued();
  enqueued();
  const auto one = at.claim_one();
  const auto two = at.claim_one();
  other.cancel(one.jobs[0]->id);
  BOOST_TEST(sql("(troupe.heartbeat(" + std::to_string(at.node.value) + ")).cancelled")
             == "{" + std::to_string(one.jobs[0]->id.value) + "}");
  BOOST_TEST(finish(one, 0) == "false");
  BOOST_TEST(at.state(one.jobs[0]->id) == "cancelled");
  make_old(at.node);
  other.rescue(at.node);
  BOOST_TEST(finish(two, 0) == "false");
  BOOST_TEST(sql("(troupe.heartbeat(" + std::to_string(at.node.value) + ")).alive") == "false");
  BOOST_TEST(at.state(two.jobs[0]->id) == "available");
}

BOOST_AUTO_TEST_CASE(who_leaves_with_jobs_in_hand_is_rescued_at_once) {
  join();
  enqueued();
  const auto held = at.claim_one();
  sql("troupe.leave_node(" + std::to_string(at.node.value) + ")");
  other.rescue(at.node);
  BOOST_TEST(at.state(held.jobs[0]->id) == "available");
  join();
  sql("troupe.leave_node(" + std::to_string(at.node.value) + ")");
  BOOST_TEST(database.value("select ended_at is not null from troupe.node where id = "
                            + std::to_string(at.node.value))
             == "t");
}

BOOST_AUTO_TEST_CASE(one_job_is_looked_up_by_index_in_the_view) {
  at.enqueue_many(5000);
  database.exec("analyze");
  at.begin();
  at.ask(db::make_query("select state from troupe.jobs where id = 4000"));
  const auto read = at.ask(
      db::make_query("select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint "
                     "from pg_stat_xact_user_tables where schemaname = 'troupe' and relname ~ "
                     "'^(job|attempt|deferred)'"));
  BOOST_TEST(read.one().get<std::int64_t>(0) < 10);
  at.rollback();
}

BOOST_AUTO_TEST_SUITE_END()
