// What /metrics shows of the database, and the traces that jobs carry.
#include "tests/db/keyed_desk.hpp"

#include <map>
#include <random>
#include <set>

using namespace troupe;
using namespace troupe::tests;

namespace {

const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::string other_trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-00";

struct measured : jobs_database {
  database_measures read(int queues = 100) {
    return db::decode_measures(at.ask(db::measure_query({queues})));
  }
  double age(const std::string& queue = "default") {
    for (const auto& one : read().ages)
      if (one.queue == queue)
        return one.seconds;
    return -1;
  }
  /// As if it had been stored so many seconds earlier.
  void age_by(job_id job, int seconds) {
    at.ask(
        db::make_query("update troupe.job set created_at = created_at - $2 * interval '1 second', "
                       "run_at = run_at - $2 * interval '1 second' where id = $1",
                       job.value, std::int64_t{seconds}));
  }
  std::string trace_of(job_id job) { return at.find(job).value().traceparent; }
};

job_spec traced(const std::string& with) {
  return {.kind = "noop", .traceparent = with};
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(ages, measured)

BOOST_AUTO_TEST_CASE(a_queue_is_as_old_as_its_oldest_job_that_may_run) {
  BOOST_TEST(read().ages.empty());
  const auto first = at.enqueue();
  const auto second = at.enqueue(job_spec{.kind = "noop", .priority = 3});
  age_by(first, 100);
  age_by(second, 500);
  BOOST_TEST(age() >= 500);
  BOOST_TEST(age() < 560);
  at.claim();
  BOOST_TEST(age() >= 500); // of the other lane
  at.claim();
  BOOST_TEST(age() == 0); // what runs waits no more
}

BOOST_AUTO_TEST_CASE(what_waits_for_its_time_counts_from_then_on) {
  const auto job = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  BOOST_TEST(age() == 0);
  at.ask(db::make_query("update troupe.deferred set due_at = now() - interval '1 second'"));
  age_by(job, 3600 + 50);
  at.promote();
  BOOST_TEST(age() >= 50);
  BOOST_TEST(age() < 110);
}

BOOST_AUTO_TEST_CASE(what_was_cancelled_in_front_is_not_waited_for) {
  const auto many = at.enqueue_many(10);
  for (const auto job : many)
    age_by(job, 10);
  age_by(many[0], 1000);
  at.cancel(many[0]);
  age_by(many[1], 200);
  BOOST_TEST(age() >= 200);
  BOOST_TEST(age() < 260);
}

BOOST_AUTO_TEST_CASE(a_batch_that_was_taken_in_part_is_as_old_as_its_next_job) {
  const auto many = at.enqueue_many(10);
  for (std::size_t i = 0; i < many.size(); ++i)
    age_by(many[i], 1000 - static_cast<int>(i) * 90);
  at.claim(3);
  BOOST_TEST(age() >= 730);
  BOOST_TEST(age() < 790);
}

BOOST_AUTO_TEST_CASE(what_a_late_writer_left_behind_the_cursor_counts) {
  desk late{database.url()};
  at.enqueue();
  at.claim();
  late.begin();
  const auto old = late.enqueue();
  for (int i = 0; i < 8; ++i) // until the late one's lane was passed, whichever it is
    at.enqueue();
  at.drain();
  late.commit();
  age_by(old, 300);
  BOOST_TEST(age() >= 300);
  at.drain();
  BOOST_TEST(age() == 0);
}

BOOST_AUTO_TEST_CASE(only_so_many_queues_are_looked_at_and_all_of_those) {
  for (const auto* queue : {"c", "a", "b"})
    at.enqueue(job_spec{.kind = "noop", .queue = queue});
  at.pause("paused");
  const auto some = read(2);
  BOOST_REQUIRE(some.ages.size() == 2U);
  BOOST_TEST(some.ages[0].queue == "a");
  BOOST_TEST(some.ages[1].queue == "b");
  BOOST_TEST(read().ages.size() == 4U);
}

BOOST_AUTO_TEST_CASE(ages_are_those_of_the_jobs_that_are_available_whatever_is_done) {
  std::mt19937 random{7}; // NOLINT(cert-msc51-cpp): the same each time
  const auto pick = [&](std::size_t n) { return random() % n; };
  std::map<std::int64_t, int> waiting; // and since how many seconds; what came first is oldest
  int next = 5'000'000;
  for (int step = 0; step < 200; ++step) {
    switch (pick(4)) {
    case 0:
    case 1:
      for (const auto job : at.enqueue(std::vector<job_spec>(
               1 + pick(4), job_spec{.kind = "noop", .priority = static_cast<int>(pick(2))}))) {
        age_by(job, next -= 1000);
        waiting[job.value] = next;
      }
      break;
    case 2:
      for (const auto& run : at.claim(static_cast<int>(1 + pick(5))).jobs)
        waiting.erase(run->id.value);
      break;
    default:
      if (!waiting.empty()) {
        const auto at_most = std::min<std::size_t>(waiting.size(), 4);
        const auto victim = std::next(waiting.begin(), static_cast<std::ptrdiff_t>(pick(at_most)));
        at.cancel(job_id{victim->first});
        waiting.erase(victim);
      }
    }
    const double oldest = waiting.empty() ? 0 : waiting.begin()->second;
    const auto told = std::max(0.0, age());
    BOOST_REQUIRE_MESSAGE(told >= oldest && told < oldest + 1000,
                          "step " << step << ": " << told << " instead of " << oldest);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(tables, measured)

BOOST_AUTO_TEST_CASE(partitions_are_summed_under_their_table_and_transactions_have_an_age) {
  const auto told = read();
  std::set<std::string> names;
  for (const auto& one : told.tables) {
    BOOST_TEST(names.insert(one.table).second, one.table);
    BOOST_TEST(one.tuples >= 0);
  }
  for (const auto* name : {"job", "attempt", "ready", "lane", "lease", "node"})
    BOOST_TEST(names.contains(name), name);
  BOOST_TEST(!names.contains("job_1"));
  desk idle{database.url()};
  idle.begin();
  idle.ask(db::make_query("select 1"));
  BOOST_TEST(read().oldest_transaction > 0);
  idle.rollback();
}

BOOST_AUTO_TEST_CASE(a_rescue_tells_how_many_leases_the_node_held) {
  at.enqueue_many(3);
  at.enqueue(job_spec{.kind = "noop", .queue = "b"});
  at.join("dead");
  at.claim(2);
  at.claim(1, "b");
  at.ask(db::make_query("update troupe.node set heartbeat_at = now() - interval '1 hour'"));
  const auto dead = at.node;
  at.join("alive");
  const auto told = db::decode_rescued(at.ask(db::rescue_query({dead})));
  BOOST_TEST(told.count == 3);
  BOOST_TEST(told.leases == 2);
  BOOST_TEST(db::decode_rescued(at.ask(db::rescue_query({dead}))).leases == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(traces, measured)

BOOST_AUTO_TEST_CASE(a_job_carries_its_trace_to_whoever_reads_or_runs_it) {
  const auto jobs = at.enqueue(std::vector{traced(trace), traced(""), traced(other_trace)});
  BOOST_TEST(trace_of(jobs[0]) == trace);
  BOOST_TEST(trace_of(jobs[1]) == "");
  const auto rows = at.ask(db::jobs_query({jobs}));
  BOOST_TEST(rows.rows() == 3);
  std::map<std::int64_t, std::string> handed;
  for (const auto& claim : at.drain())
    for (const auto& run : claim.jobs)
      handed[run->id.value] = run->traceparent;
  BOOST_TEST(handed.at(jobs[0].value) == trace);
  BOOST_TEST(handed.at(jobs[1].value) == "");
  BOOST_TEST(handed.at(jobs[2].value) == other_trace);
}

BOOST_AUTO_TEST_CASE(later_attempts_and_adopted_leases_carry_it_as_well) {
  const auto job = at.enqueue(traced(trace));
  auto claim = at.claim();
  at.finish(claim, failed("again"), std::chrono::milliseconds{0});
  at.promote();
  claim = at.claim();
  BOOST_REQUIRE(claim.jobs.size() == 1U);
  BOOST_TEST(claim.jobs[0]->attempt == 2);
  BOOST_TEST(claim.jobs[0]->traceparent == trace);
  const auto again = db::decode_claimed(at.ask(db::adopt_query({at.node, claim.lease})), "default");
  BOOST_REQUIRE(again.jobs.size() == 1U);
  BOOST_TEST(again.jobs[0]->traceparent == trace);
  BOOST_TEST(trace_of(job) == trace);
}

BOOST_AUTO_TEST_CASE(it_comes_through_every_way_to_enqueue_and_to_claim) {
  const auto delayed =
      at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}, .traceparent = trace});
  BOOST_TEST(trace_of(delayed) == trace);
  at.limit_keys(5, "keyed");
  at.order(true, "ordered");
  for (const auto* queue : {"keyed", "ordered"}) {
    job_spec job = traced(trace);
    job.queue = queue;
    job.limit_key = "k";
    at.enqueue(job);
    const auto claim = at.claim(1, queue);
    BOOST_REQUIRE(claim.jobs.size() == 1U);
    BOOST_TEST(claim.jobs[0]->traceparent == trace, queue);
  }
  const auto here = at.enqueue_here({traced(trace), traced("")});
  BOOST_TEST(trace_of(here.stored.ids.at(0)) == trace);
  BOOST_TEST(trace_of(here.stored.ids.at(1)) == "");
  std::vector<job_spec> many(150, traced(other_trace)); // more than a keyed claim reads at once
  for (auto& one : many) {
    one.queue = "keyed";
    one.limit_key = "";
  }
  at.enqueue(many);
  const auto claim = at.claim(150, "keyed");
  BOOST_REQUIRE(claim.jobs.size() > 100U);
  for (const auto& run : claim.jobs)
    BOOST_REQUIRE(run->traceparent == other_trace);
}

BOOST_AUTO_TEST_CASE(one_that_replaces_another_brings_its_own) {
  auto job = unique_job(on_conflict::replace);
  job.traceparent = trace;
  const auto first = at.enqueue(job);
  BOOST_TEST(trace_of(first) == trace);
  job.traceparent = other_trace;
  BOOST_TEST((at.enqueue(job) == first));
  BOOST_TEST(trace_of(first) == other_trace);
  job.traceparent = "";
  at.enqueue(job);
  BOOST_TEST(trace_of(first) == "");
}

BOOST_AUTO_TEST_CASE(the_same_request_is_the_same_in_whatever_trace_it_is_asked_again) {
  const auto first = put(at, enqueue_jobs{{traced(trace)}, "key"});
  const auto again = put(at, enqueue_jobs{{traced(other_trace)}, "key"});
  BOOST_TEST((again.use == key_use::replayed));
  BOOST_TEST((first.ids == again.ids));
  BOOST_TEST(trace_of(first.ids.at(0)) == trace);
}

BOOST_AUTO_TEST_CASE(plain_sql_gives_one_by_name_and_a_wrong_one_is_refused) {
  const auto job = at.ask(db::make_query("select troupe.enqueue('noop', traceparent => $1)", trace))
                       .one()
                       .get<std::int64_t>(0);
  BOOST_TEST(trace_of(job_id{job}) == trace);
  BOOST_TEST(at.ask(db::make_query("select traceparent from troupe.jobs where id = $1", job))
                 .one()
                 .get<std::string>(0)
             == trace);
  for (const auto& wrong : {trace + "0", "ff" + trace.substr(2), std::string{"x"},
                            "00-" + std::string(32, '0') + trace.substr(35),
                            trace.substr(0, 36) + std::string(16, '0') + "-01"})
    BOOST_CHECK_EXCEPTION(
        at.ask(db::make_query("select troupe.enqueue('noop', traceparent => $1)", wrong)), refused,
        is_invalid);
}

BOOST_AUTO_TEST_SUITE_END()
