// Operations on many jobs: what each does to a job in each state is what the call about one job
// does, which jobs are met, and that an operation goes on exactly where it was.
#include "tests/db/bulk_desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::array every_action{bulk_action::cancel, bulk_action::retry, bulk_action::remove,
                                  bulk_action::move, bulk_action::reprioritise};

struct many_jobs : bulk_desk {
  /// All that the tables say of a job, but its id and the name of its queue.
  std::string rows_of(job_id id) {
    return database.value(
        "select jsonb_build_array(j.state, j.priority, j.attempt, "
        "  (select jsonb_agg(jsonb_build_array(a.attempt, a.outcome, a.reopened, a.error, "
        "                   a.started_at is not null, a.node) order by a.attempt)"
        "     from troupe.attempt a where a.job_id = g.i), "
        "  (select jsonb_build_array(d.attempt, d.reason, l.queue = j.queue, l.priority) "
        "     from troupe.deferred d join troupe.lane l on l.id = d.lane where d.job_id = g.i), "
        "  (select jsonb_agg(jsonb_build_array(v.attempt, v.queue ~ '^q', v.priority) order by "
        "   v.attempt) from troupe.revoked v where v.job_id = g.i), "
        "  (select jsonb_agg(jsonb_build_array(r.attempt, l.queue = j.queue, l.priority) "
        "                    order by r.attempt, r.seq) "
        "     from troupe.ready r join troupe.lane l on l.id = r.lane where r.job_id = g.i), "
        "  (select count(*) from troupe.unique_job u where u.job_id = g.i), "
        "  (select count(*) from troupe.unique_key u where u.job_id = g.i), "
        "  (select count(*) from troupe.progress p where p.job_id = g.i)) "
        "from (select "
        + std::to_string(id.value) + " as i) g left join troupe.jobs j on j.id = g.i");
  }
  /// True when the call about one job did it.
  bool by_one(bulk_action action, job_id id) {
    try {
      if (action == bulk_action::cancel)
        at.cancel(id);
      else if (action == bulk_action::retry)
        at.retry(id);
      else
        at.remove(id);
      return true;
    } catch (const refused& e) {
      BOOST_TEST(is_conflict(e));
      return false;
    }
  }
  job_spec next_spec(bool unique) {
    job_spec job{.kind = "noop", .queue = "q" + std::to_string(++queues), .max_attempts = 5};
    if (unique)
      job.unique = unique_rule{.queue = true};
    return job;
  }
  int queues = 0;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(bulk, many_jobs)

BOOST_AUTO_TEST_CASE(a_bulk_does_to_a_job_in_any_state_what_the_call_about_one_does) {
  for (const auto action : {bulk_action::cancel, bulk_action::retry, bulk_action::remove})
    for (const auto state : every_state)
      for (const bool unique : {false, true})
        BOOST_TEST_CONTEXT(to_string(action) << " of " << to_string(state) << " " << unique) {
          const auto one = in_state(state, next_spec(unique));
          const auto twin = in_state(state, next_spec(unique));
          BOOST_TEST(rows_of(one) == rows_of(twin));
          const bool done = by_one(action, one);
          const auto made = all_of({.action = action, .ids = {twin}});
          BOOST_TEST(made.state == "done");
          BOOST_TEST(made.error == "");
          BOOST_TEST(made.matched == 1);
          BOOST_TEST(made.changed == (done ? 1 : 0));
          BOOST_TEST(made.skipped == (done ? 0 : 1));
          BOOST_TEST(rows_of(one) == rows_of(twin));
        }
}

BOOST_AUTO_TEST_CASE(what_waits_is_moved_and_all_else_stays) {
  for (const auto state : every_state)
    BOOST_TEST_CONTEXT(to_string(state)) {
      auto job = next_spec(false);
      const auto id = in_state(state, job);
      const auto before = rows_of(id);
      const bool waits = state == job_state::scheduled || state == job_state::available
                         || state == job_state::retryable;
      const auto made =
          all_of({.action = bulk_action::move, .ids = {id}, .to_queue = "there", .to_priority = 3});
      BOOST_TEST(made.changed == (waits ? 1 : 0));
      BOOST_TEST(made.skipped == (waits ? 0 : 1));
      if (!waits) {
        BOOST_TEST(rows_of(id) == before);
        continue;
      }
      const auto moved = at.get(id);
      BOOST_TEST(moved.queue == "there");
      BOOST_TEST(moved.priority == 3);
      BOOST_TEST(to_string(moved.state) == to_string(state));
      let_time_pass();
      at.promote();
      BOOST_TEST(at.drain(100, job.queue).empty());
      const auto got = at.claim_one("there");
      BOOST_TEST(got.jobs[0]->id.value == id.value);
      BOOST_TEST(at.finish(got).fenced.empty());
      BOOST_TEST(at.drain(100, "there").empty());
      BOOST_TEST(at.state(id) == "completed");
    }
}

BOOST_AUTO_TEST_CASE(only_jobs_that_fit_everything_are_met) {
  const auto put_in = [&](job_spec job) { return at.enqueue(std::move(job)); };
  const auto plain = put_in({.kind = "noop"});
  const auto mail = put_in({.kind = "noop", .queue = "mail"});
  const auto other_kind = put_in({.kind = "echo", .queue = "mail"});
  const auto tagged = put_in({.kind = "noop",
                              .args = R"({"customer":{"id":7,"name":"x"},"lines":[1,2]})",
                              .tags = {"a \"b\"", "c"}});
  const auto keyed = put_in({.kind = "noop", .limit_key = "k\\1"});
  const auto later = put_in({.kind = "noop", .delay = 1h});
  const auto old = put_in({.kind = "noop"});
  database.exec("update troupe.job set created_at = '2020-05-01T10:00:00Z' where id = "
                + std::to_string(old.value));
  const auto meets = [&](job_filter filter, bool all = false) {
    const auto found = preview({bulk_action::cancel, std::move(filter), all});
    BOOST_TEST(!found.more);
    BOOST_TEST(found.matched == static_cast<std::int64_t>(found.sample.size()));
    return found.sample;
  };
  using ids = std::vector<job_id>;
  BOOST_TEST((meets({.queue = "mail"}) == ids{mail, other_kind}));
  BOOST_TEST((meets({.queue = "mail", .kind = "echo"}) == ids{other_kind}));
  BOOST_TEST((meets({.tags = {"a \"b\""}}) == ids{tagged}));
  BOOST_TEST((meets({.tags = {"c", "a \"b\""}}) == ids{tagged}));
  BOOST_TEST((meets({.tags = {"c", "d"}}) == ids{}));
  BOOST_TEST((meets({.tags = {"a"}}) == ids{}));
  BOOST_TEST((meets({.args = R"({"lines":[2],"customer":{"id":7.0}})"}) == ids{tagged}));
  BOOST_TEST((meets({.args = R"({"customer":{"id":8}})"}) == ids{}));
  BOOST_TEST((meets({.limit_key = "k\\1"}) == ids{keyed}));
  BOOST_TEST((meets({.state = job_state::scheduled}) == ids{later}));
  BOOST_TEST((meets({}, true) == ids{plain, mail, other_kind, tagged, keyed, later, old}));
  const timestamp then{std::chrono::sys_days{std::chrono::year{2020} / 5 / 1} + 10h};
  BOOST_TEST((meets({.created_from = then, .created_before = then + 1us}) == ids{old}));
  BOOST_TEST((meets({.created_before = then}) == ids{}));
  BOOST_TEST(meets({.created_from = then + 1us}).size() == 6U);
  at.cancel(tagged); // and so of what is met by way of its state's own table
  BOOST_TEST((preview({.action = bulk_action::retry,
                       .filter = {.state = job_state::cancelled, .args = R"({"lines":[1]})"}})
                  .sample
              == ids{tagged}));
  BOOST_TEST((preview({.action = bulk_action::retry,
                       .filter = {.state = job_state::cancelled, .args = R"({"lines":[3]})"}})
                  .matched
              == 0));
  const auto again = all_of(
      {.action = bulk_action::retry,
       .filter = {.state = job_state::cancelled, .tags = {"c"}, .args = R"({"lines":[1]})"}});
  BOOST_TEST(again.changed == 1);
  BOOST_TEST(at.state(tagged) == "available");
  // As tags and created_from were said before.
  for (const auto* filter :
       {R"({"tag":"c"})", R"({"created_after":"2020-05-01T10:00:00.000001Z"})"})
    BOOST_TEST(at.ask(db::make_query("select matched from troupe.bulk_preview('cancel', $1)",
                                     db::json{filter}))
                       .one()
                       .get<std::int64_t>(0)
                   == (std::string_view{filter}.find("tag") == 2 ? 1 : 6),
               filter);
  const auto made = all_of({.action = bulk_action::cancel, .filter = {.kind = "echo"}});
  BOOST_TEST(made.changed == 1);
  BOOST_TEST(at.state(other_kind) == "cancelled");
  BOOST_TEST(at.state(mail) == "available");
}

BOOST_AUTO_TEST_CASE(a_filter_by_state_meets_the_jobs_that_a_list_shows) {
  for (int round = 0; round < 3; ++round)
    for (const auto state : every_state)
      in_state(state, next_spec(false));
  for (const auto state : every_state)
    for (const auto action : every_action)
      BOOST_TEST_CONTEXT(to_string(action) << " of " << to_string(state)) {
        auto what = of_queue(action);
        what.filter = {.state = state};
        try {
          auto wanted = at.list({{state, {}, {}}, {}, 100}).jobs;
          auto found = preview(what).sample;
          std::reverse(found.begin(), found.end());
          BOOST_TEST(found.size() == 3U);
          BOOST_REQUIRE_EQUAL(found.size(), wanted.size());
          for (std::size_t i = 0; i < found.size(); ++i)
            BOOST_TEST(found[i].value == wanted[i].id.value);
        } catch (const refused& e) {
          BOOST_TEST(is_invalid(e));
          const bool waits = state == job_state::scheduled || state == job_state::available
                             || state == job_state::retryable;
          const bool ended = is_final(state);
          BOOST_TEST((action == bulk_action::cancel   ? ended
                      : action == bulk_action::remove ? state == job_state::running
                      : action == bulk_action::retry
                          ? state == job_state::running || state == job_state::available
                          : !waits));
        }
      }
}

BOOST_AUTO_TEST_CASE(what_is_not_said_clearly_is_refused_and_nothing_is_done) {
  at.enqueue_many(3);
  const auto refuses = [&](const std::string& arguments) {
    try {
      at.ask(db::make_query("select troupe.bulk(" + arguments + ")"));
      return std::string{"accepted"};
    } catch (const refused& e) {
      return is_invalid(e) ? e.why.message.substr(0, e.why.message.find(' ')) : e.why.message;
    }
  };
  BOOST_TEST(refuses("'cancel'") == "filter");
  BOOST_TEST(refuses("'cancel', '{}'") == "filter");
  BOOST_TEST(refuses("'cancel', '[]'") == "filter");
  BOOST_TEST(refuses("'cancel', '{\"all\":false}'") == "filter.all");
  BOOST_TEST(refuses("'cancel', '{\"que\":\"a\"}'") == "filter.que:");
  BOOST_TEST(refuses("'cancel', '{\"queue\":\"\"}'") == "filter.queue");
  BOOST_TEST(refuses("'cancel', '{\"queue\":null}'") == "filter.queue");
  BOOST_TEST(refuses("'cancel', '{\"state\":\"completed\"}'") == "filter.state");
  BOOST_TEST(refuses("'cancel', '{\"state\":\"odd\"}'") == "filter.state");
  BOOST_TEST(refuses("'cancel', '{\"created_after\":\"soon\"}'") == "filter.created_after");
  BOOST_TEST(refuses("'cancel', '{\"created_from\":\"soon\"}'") == "filter.created_from");
  for (const auto* tags :
       {"[]", "\"a\"", "{}", "[\"\"]", "[7]", "[\"a\",null]", "[1,2,3,4,5,6,7,8,9,10,11]"})
    BOOST_TEST(refuses("'cancel', '{\"tags\":" + std::string{tags} + "}'") == "filter.tags", tags);
  for (const auto* args : {"{}", "[1]", "7", "null", "\"a\""})
    BOOST_TEST(refuses("'cancel', '{\"args\":" + std::string{args} + "}'") == "filter.args", args);
  BOOST_TEST(refuses("'cancel', jsonb_build_object('args', jsonb_build_object('a', "
                     "repeat('x', 33000)))")
             == "filter.args");
  BOOST_TEST(refuses("'cancel', '{\"queue\":\"a\"}', array[1::bigint]") == "ids");
  BOOST_TEST(refuses("'cancel', null, '{}'::bigint[]") == "ids");
  BOOST_TEST(refuses("'cancel', null, array_fill(1::bigint, array[10001])") == "ids");
  BOOST_TEST(refuses("'forget', '{\"all\":true}'") == "action");
  BOOST_TEST(refuses("'move', '{\"all\":true}'") == "to.queue");
  BOOST_TEST(refuses("'move', '{\"all\":true}', null, 'a b'") == "to.queue");
  BOOST_TEST(refuses("'cancel', '{\"all\":true}', null, 'a'") == "to.queue");
  BOOST_TEST(refuses("'reprioritise', '{\"all\":true}'") == "to.priority");
  BOOST_TEST(refuses("'reprioritise', '{\"all\":true}', null, null, 10") == "to.priority");
  BOOST_TEST(refuses("'delete', '{\"all\":true}', null, null, 1") == "to.priority");
  BOOST_TEST(refuses("'retry', '{\"queue\":\"default\"}'") == "filter.state");
  while (step().id != 0)
    ;
  BOOST_TEST(at.drain().size() >= 1U);
  BOOST_TEST(count("attempt") == 0);
}

BOOST_AUTO_TEST_CASE(jobs_that_come_later_are_not_met) {
  const auto first = at.enqueue_many(20);
  const auto id = start(of_queue(bulk_action::cancel));
  const auto later = at.enqueue_many(20);
  step(10);
  const auto made = finish_bulk(id, 10);
  BOOST_TEST(made.changed == 20);
  for (const auto job : later)
    BOOST_TEST(at.state(job) == "available");
}

BOOST_AUTO_TEST_CASE(a_step_that_was_lost_is_done_again_and_counts_once) {
  for (const auto action : every_action) {
    const auto ids = at.enqueue_many(95);
    if (action == bulk_action::retry)
      for (const auto job : ids)
        at.cancel(job);
    const auto id = start(of_queue(action));
    for (int lost = 0; lost < 3; ++lost) {
      at.begin();
      BOOST_TEST(step(20).changed > 0);
      at.rollback(); // as if the node had died
      BOOST_TEST(bulk(id).changed == 20 * lost);
      BOOST_TEST(step(other, 20).changed == 20);
      BOOST_TEST(bulk(id).changed == 20 * (lost + 1));
    }
    const auto made = finish_bulk(id, 20);
    BOOST_TEST(made.state == "done");
    BOOST_TEST(made.matched == 95);
    BOOST_TEST(made.changed == 95);
    BOOST_TEST(made.skipped == 0);
    BOOST_TEST(made.ended_at.has_value());
    database.exec(
        "truncate troupe.job, troupe.ready, troupe.attempt, troupe.deferred, troupe.revoked");
  }
}

BOOST_AUTO_TEST_CASE(two_steps_of_one_operation_never_run_side_by_side) {
  at.enqueue_many(30);
  const auto id = start(of_queue(bulk_action::cancel));
  at.begin();
  BOOST_TEST(step(10).id == id);
  BOOST_TEST(step(other, 10).id == 0); // it is taken, and there is no other
  at.commit();
  BOOST_TEST(step(other, 10).id == id);
  BOOST_TEST(finish_bulk(id, 10).changed == 30);
}

BOOST_AUTO_TEST_CASE(operations_take_turns) {
  at.enqueue_many(40);
  at.enqueue_many(3, "few");
  const auto large = start(of_queue(bulk_action::cancel));
  const auto small = start(of_queue(bulk_action::cancel, "few"));
  step(10);
  step(10);
  step(10);
  step(10);
  BOOST_TEST(bulk(small).matched == 3);
  BOOST_TEST(bulk(large).state == "running");
  BOOST_TEST(finish_bulk(large, 10).changed == 40);
}

BOOST_AUTO_TEST_CASE(a_job_that_somebody_holds_is_waited_for_by_nobody_and_forgotten_by_nobody) {
  const auto ids = at.enqueue_many(30);
  const auto id = start(of_queue(bulk_action::move));
  other.begin();
  other.cancel(ids[10]);
  auto done = step();
  BOOST_TEST(done.error == "");
  BOOST_TEST(done.changed == 10);
  BOOST_TEST(done.state == "running");
  done = step();
  BOOST_TEST(done.error.find(std::to_string(ids[10].value)) != std::string::npos);
  // Not again at once. The second that it is put off may be over by now: let it be an hour.
  database.exec("update troupe.bulk_operation set try_at = try_at + interval '1 hour'");
  BOOST_TEST(step().id == 0);
  BOOST_TEST(bulk(id).failures == 1);
  BOOST_TEST(bulk(id).error == done.error);
  BOOST_TEST(bulk(id).changed == 10);
  other.commit();
  forget_failures();
  const auto made = finish_bulk(id);
  BOOST_TEST(made.state == "done");
  BOOST_TEST(made.changed == 29);
  BOOST_TEST(made.error == "");
  BOOST_TEST(at.get(ids[10]).queue == "default");
}

BOOST_AUTO_TEST_CASE(a_job_that_a_claim_has_and_has_not_said_so_yet_is_not_moved) {
  let_wait("bulk_step(integer, integer)");
  for (const auto action : {bulk_action::move, bulk_action::reprioritise, bulk_action::remove}) {
    const auto ids = at.enqueue_many(40);
    other.begin();
    const auto held = other.claim(15);
    BOOST_TEST(held.jobs.size() == 15U);
    const auto id = start(of_queue(action));
    at.send(db::step_bulk_query(1000));
    BOOST_TEST(at.waits(database));
    other.commit();
    const auto answer = at.later();
    BOOST_TEST(std::holds_alternative<db::result>(answer));
    const auto made = bulk(id);
    BOOST_TEST(made.state == "done");
    BOOST_TEST(made.matched == 40);
    BOOST_TEST(made.changed == 25);
    BOOST_TEST(made.skipped == 15);
    for (const auto& run : held.jobs)
      BOOST_TEST(at.state(run->id) == "running");
    BOOST_TEST(other.finish(held).fenced.empty());
    const auto rest = everything(at, action == bulk_action::move ? "elsewhere" : "default");
    BOOST_TEST(rest.size() == (action == bulk_action::remove ? 0U : 25U));
    database.exec(
        "truncate troupe.job, troupe.ready, troupe.attempt, troupe.lease, troupe.revoked");
  }
}

BOOST_AUTO_TEST_CASE(a_claim_that_takes_too_long_costs_a_step_and_no_more) {
  const auto ids = at.enqueue_many(4);
  other.begin();
  other.claim(1);
  const auto id = start(of_queue(bulk_action::move));
  BOOST_TEST(step().error != "");
  other.rollback();
  forget_failures();
  const auto made = finish_bulk(id);
  BOOST_TEST(made.changed == 4);
  BOOST_TEST(everything(at, "elsewhere") == set_of(ids));
}

BOOST_AUTO_TEST_CASE(runs_that_are_cancelled_are_told_to_their_nodes) {
  const auto ids = at.enqueue_many(6);
  const auto mine = at.claim(2), others = other.claim(2);
  const auto id = start(of_queue(bulk_action::cancel));
  const auto done = step();
  BOOST_TEST(done.id == id);
  BOOST_TEST(set_of(done.running).size() == 4U);
  BOOST_TEST(done.changed == 6);
  BOOST_TEST(at.beat().cancelled.size() == 2U);
  const auto told = other.beat().cancelled;
  BOOST_TEST(set_of(told) == (std::multiset{others.jobs[0]->id.value, others.jobs[1]->id.value}));
  const auto by_sql =
      other.ask(db::make_query("select cancelled from troupe.heartbeat($1)", other.node))
          .one()
          .get<std::vector<std::int64_t>>(0);
  BOOST_TEST(by_sql.size() == 2U);
  BOOST_TEST(at.finish(mine).fenced.size() == 2U);
  BOOST_TEST(everything(at).empty());
}

BOOST_AUTO_TEST_CASE(a_cancelled_operation_does_nothing_more_and_keeps_its_counts) {
  at.enqueue_many(30);
  const auto id = start(of_queue(bulk_action::cancel));
  step(10);
  at.ask(db::cancel_bulk_query(id));
  BOOST_TEST(step().id == 0);
  const auto made = bulk(id);
  BOOST_TEST(made.state == "cancelled");
  BOOST_TEST(made.changed == 10);
  BOOST_CHECK_EXCEPTION(at.ask(db::cancel_bulk_query(id)), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.ask(db::cancel_bulk_query(id + 1)), refused, is_not_found);
  BOOST_TEST(everything(at).size() == 20U);
}

BOOST_AUTO_TEST_CASE(named_jobs_are_each_counted_once_whether_they_are_there_or_not) {
  const auto ids = at.enqueue_many(5);
  auto named = ids;
  named.push_back(ids[2]);
  named.push_back(job_id{987654});
  at.cancel(ids[0]);
  const bulk_request what{.action = bulk_action::cancel, .ids = named};
  const auto found = preview(what);
  BOOST_TEST(found.matched == 4);
  const auto made = all_of(what, 2);
  BOOST_TEST(made.ids == 6);
  BOOST_TEST(made.matched == 6);
  BOOST_TEST(made.changed == 4);
  BOOST_TEST(made.skipped == 2);
}

BOOST_AUTO_TEST_CASE(a_preview_says_at_least_beyond_what_it_counts) {
  // However long it takes to count them.
  database.exec("select troupe.edit_function('bulk_preview', 'interval ''3 seconds''',"
                " 'interval ''1 hour''')");
  database.exec("do $$ begin for i in 1..11 loop perform troupe.enqueue_many(array_fill('k'::text, "
                "array[1000]), array_fill('default'::text, array[1000]), array_fill('{}'::jsonb, "
                "array[1000]), array_fill(0::smallint, array[1000])); end loop; end $$");
  const auto found = preview(of_queue(bulk_action::cancel));
  BOOST_TEST(found.matched == limits::bulk_counted);
  BOOST_TEST(found.more);
  BOOST_TEST(found.sample.size() == 10U);
  BOOST_TEST(count("bulk_operation") == 0);
  BOOST_TEST(count("attempt") == 0);
}

BOOST_AUTO_TEST_CASE(operations_are_listed_newest_first_and_forgotten_after_a_week) {
  at.enqueue();
  std::vector<std::int64_t> ids;
  for (int i = 0; i < 3; ++i)
    ids.push_back(start(of_queue(bulk_action::cancel)));
  while (step().id != 0)
    ;
  const auto list = [&](const list_bulks& what) {
    return db::decode_bulks(at.ask(db::bulks_query(what)), what);
  };
  const auto page = list({0, 2});
  BOOST_REQUIRE_EQUAL(page.operations.size(), 2U);
  BOOST_TEST(page.operations[0].id == ids[2]);
  BOOST_TEST(page.next.value() == ids[1]);
  BOOST_TEST(list({ids[1], 2}).operations.at(0).id == ids[0]);
  database.exec("update troupe.bulk_operation set ended_at = now() - interval '8 days' where id < "
                + std::to_string(ids[2]));
  const auto last = start(of_queue(bulk_action::cancel));
  const auto left = list({0, 10}).operations;
  BOOST_REQUIRE_EQUAL(left.size(), 2U);
  BOOST_TEST(left[0].id == last);
}

BOOST_AUTO_TEST_CASE(there_is_a_bound_on_operations_that_run) {
  for (int i = 0; i < 100; ++i)
    start(of_queue(bulk_action::cancel));
  BOOST_CHECK_EXCEPTION(start(of_queue(bulk_action::cancel)), refused, is_conflict);
  step();
  start(of_queue(bulk_action::cancel));
}

BOOST_AUTO_TEST_SUITE_END()
