// UNIT OF WORK in virtual time over a POOL and a CONNECTION that the test answers for: bursts,
// loans and what becomes of them, time limits, lost commits.
#include "actors/unit_of_work.hpp"
#include "actors/work_desk.hpp"
#include "db/wire.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <libpq-fe.h>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement one_statement{"one", "select 1"};

db::result row_of(unsigned type, std::string bytes) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc column{name.data(), 0, 0, 1, type, -1, -1};
  PQsetResultAttrs(raw, 1, &column);
  PQsetvalue(raw, 0, 0, bytes.data(), static_cast<int>(bytes.size()));
  return {raw, db::not_owned(one_statement)};
}

/// What the server would say; of an enqueue, that it stored one job, number 5.
db::result answer_to(const std::string& name) {
  if (name == "transaction_id")
    return row_of(db::oid::text, "777");
  if (name != "job_enqueue")
    return {};
  std::string ids;
  for (const std::int32_t word : {1, 0, static_cast<int>(db::oid::int8), 1, 1, 8})
    db::wire::append_int(ids, word);
  db::wire::append_int<std::int64_t>(ids, 5);
  return row_of(db::oid::int8_array, ids);
}

struct wire {
  struct asked {
    std::vector<std::string> names;
    caf::typed_response_promise<burst_answers> promise;
  };
  std::deque<asked> bursts;
  std::deque<caf::typed_response_promise<db::result>> queries; ///< of POOL, single ones
  std::deque<caf::typed_response_promise<loan_ptr>> loans;
  bool lends = true;
  int lent = 0;
  int returned = 0;
  bool tainted = false;
};
using wire_ptr = std::shared_ptr<wire>;

using connection_double = connection_actor::extend<caf::reacts_to<act>>;
using pool_double = lending_pool_actor::extend<caf::reacts_to<act>>;

connection_double::behavior_type connection_on(connection_double::pointer self, wire_ptr out) {
  return {
      [](const query_ptr&) { return db::result{}; },
      [=](const burst_ptr& asked) -> caf::result<burst_answers> {
        auto promise = self->make_response_promise<burst_answers>();
        wire::asked one{{}, promise};
        for (const auto& what : asked->statements)
          one.names.emplace_back(what.what().name);
        out->bursts.push_back(std::move(one));
        return promise;
      },
      [](const act& what) { (*what)(); },
  };
}

loan_ptr make_loan(const wire_ptr& out, const connection_actor& connection) {
  ++out->lent;
  return std::make_shared<const loan>(connection, [out](bool tainted) {
    ++out->returned;
    out->tainted = tainted;
  });
}

pool_double::behavior_type pool_on(pool_double::pointer self, wire_ptr out,
                                   connection_actor connection) {
  return {
      [=](const query_ptr&) -> caf::result<db::result> {
        auto promise = self->make_response_promise<db::result>();
        out->queries.push_back(promise);
        return promise;
      },
      [=](lend_atom) -> caf::result<loan_ptr> {
        auto promise = self->make_response_promise<loan_ptr>();
        if (out->lends)
          promise.deliver(make_loan(out, connection));
        else
          out->loans.push_back(promise);
        return promise;
      },
      [](const act& what) { (*what)(); },
  };
}

struct working : deterministic_system {
  wire_ptr out = std::make_shared<wire>();
  connection_double connection = spawn(connection_on, out);
  pool_double pool = spawn(pool_on, out, connection_actor{connection});
  std::shared_ptr<executor_notes> woken = std::make_shared<executor_notes>();
  std::shared_ptr<std::vector<caf::timespan>> dues = std::make_shared<std::vector<caf::timespan>>();
  engine_counters counters;
  database_metrics metrics;
  work_desk_impl desk = spawn(work_desk);
  unit_of_work_impl unit;
  std::map<int, work_answer> answers;
  int asked = 0;
  std::uint64_t known = 0;

  working() { start(); }
  ~working() { // what they still answer and count is ours
    caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
    run();
  }
  void start(work_options options = {}) {
    work_peers peers{
        pool,    spawn(executor_double, woken), spawn(scheduler_double, dues), desk, &counters,
        &metrics};
    unit = spawn(unit_of_work, peers, options);
    run();
  }
  /// Without run().
  int ask(db::work_request what, bool of_runner = false) {
    const int number = ++asked;
    auto call =
        std::make_shared<work_call>(std::move(what), known, [this, number](work_answer told) {
          known = std::max(known, told.failures);
          BOOST_TEST(answers.emplace(number, std::move(told)).second);
        });
    call->of_runner = of_runner;
    caf::anon_send(unit, std::move(call));
    return number;
  }
  void add(const std::string& queue = "default") {
    caf::anon_send(unit, job_added{{.kind = "k", .queue = queue}, known});
  }
  static db::work_request query() { return db::run_query{db::query{one_statement}}; }
  std::string sent() const {
    std::string text;
    for (const auto& burst : out->bursts) {
      text += text.empty() ? "" : " | ";
      for (std::size_t i = 0; i < burst.names.size(); ++i)
        text += (i > 0 ? " " : "") + burst.names[i];
    }
    return text;
  }
  /// Answers the oldest burst; `fails` is the statement that does, with what follows it.
  void carry_out(std::size_t fails = 999, const failure& why = {errc::database, "no"}) {
    BOOST_REQUIRE(!out->bursts.empty());
    auto first = std::move(out->bursts.front());
    out->bursts.pop_front();
    burst_answers all;
    for (std::size_t i = 0; i < first.names.size(); ++i) {
      if (i < fails)
        all.each.emplace_back(answer_to(first.names[i]));
      else
        all.each.emplace_back(i == fails ? why : failure{errc::aborted, "skipped"});
    }
    inside([promise = first.promise, all]() mutable { promise.deliver(all); });
  }
  void lose(const failure& why) {
    auto first = std::move(out->bursts.front());
    out->bursts.pop_front();
    burst_answers all;
    all.each.resize(first.names.size(), why);
    inside([promise = first.promise, all]() mutable { promise.deliver(all); });
  }
  void inside(std::function<void()> what) {
    caf::anon_send(connection, std::make_shared<std::function<void()>>(std::move(what)));
    run();
  }
  void inside_pool(std::function<void()> what) {
    caf::anon_send(pool, std::make_shared<std::function<void()>>(std::move(what)));
    run();
  }
  bool has(int call) const { return answers.count(call) == 1; }
  errc code(int call) {
    BOOST_REQUIRE_MESSAGE(has(call), "call " << call << " has no answer");
    const auto* why = std::get_if<failure>(&answers.at(call).outcome);
    return why ? why->code : errc::none;
  }
  std::uint64_t rollbacks(database_metrics::rollback_cause why) const {
    return metrics.rollbacks[static_cast<std::size_t>(why)];
  }
  int out_now() const { return out->lent - out->returned; }
};
using cause = database_metrics::rollback_cause;

} // namespace

BOOST_FIXTURE_TEST_SUITE(units_of_work, working)

BOOST_AUTO_TEST_CASE(calls_that_are_not_awaited_are_one_burst_and_the_loan_ends_with_the_commit) {
  const int begun = ask(db::begin_work{});
  ask(query());
  ask(db::set_savepoint{"a"});
  ask(db::release_savepoint{"a"});
  const int committed = ask(db::commit_work{});
  run();
  BOOST_TEST(sent() == "transaction_begin one savepoint_set savepoint_release transaction_commit");
  BOOST_TEST(out_now() == 1);
  carry_out();
  BOOST_TEST(code(begun) == errc::none);
  BOOST_TEST(code(committed) == errc::none);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(metrics.transactions == 1U);
  BOOST_TEST(metrics.savepoints == 1U);
}

BOOST_AUTO_TEST_CASE(calls_gather_while_a_burst_is_on_its_way) {
  ask(query());
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_id");
  ask(query());
  ask(query());
  run();
  BOOST_TEST(out->bursts.size() == 1U);
  carry_out();
  BOOST_TEST(sent() == "one one"); // the transaction's number is known by now
}

BOOST_AUTO_TEST_CASE(calls_made_while_it_waits_for_a_connection_join_the_first_burst) {
  out->lends = false;
  ask(query());
  run();
  ask(db::commit_work{});
  run();
  caf::anon_send(pool, std::make_shared<std::function<void()>>(
                           [this] { out->loans.front().deliver(make_loan(out, connection)); }));
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_commit");
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_not_to_be_had_is_a_definite_answer) {
  out->lends = false;
  const int asked_first = ask(query());
  const int committed = ask(db::commit_work{});
  run();
  inside_pool([this] { out->loans.front().deliver(make_error(errc::overloaded, "all are busy")); });
  BOOST_TEST(code(asked_first) == errc::overloaded);
  BOOST_TEST(code(committed) == errc::aborted);
  const int rolled_back = ask(db::rollback_work{});
  run();
  BOOST_TEST(code(rolled_back) == errc::none);
}

BOOST_AUTO_TEST_CASE(an_error_outside_of_a_savepoint_gives_the_connection_back_at_once) {
  const int failed = ask(query());
  const int late = ask(db::commit_work{});
  run();
  carry_out(1);
  BOOST_TEST(code(failed) == errc::database);
  BOOST_TEST(code(late) == errc::aborted);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::failed) == 1U);
  const int refused = ask(query());
  run();
  BOOST_TEST(code(refused) == errc::aborted);
  ask(db::rollback_work{});
  ask(query());
  run();
  BOOST_TEST(sent() == "transaction_begin one transaction_id");
}

BOOST_AUTO_TEST_CASE(an_error_inside_a_savepoint_is_rolled_back_before_anything_else_goes_out) {
  ask(db::set_savepoint{"a"});
  run();
  carry_out();
  const int failed = ask(query());
  run();
  const int behind = ask(query()); // its caller does not know
  run();
  carry_out(0);
  BOOST_TEST(code(failed) == errc::database);
  BOOST_TEST(code(behind) == errc::aborted);
  BOOST_TEST(sent() == "savepoint_rollback");
  const int next = ask(query());
  run();
  carry_out();
  BOOST_TEST(sent() == "one transaction_id");
  carry_out();
  BOOST_TEST(code(next) == errc::none);
  BOOST_TEST(out_now() == 1);
}

BOOST_AUTO_TEST_CASE(an_idle_transaction_is_rolled_back_and_says_so) {
  const int first = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(first) == errc::none);
  advance(29s, 100ms);
  BOOST_TEST(out_now() == 1);
  advance(2s, 100ms);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
  const int late = ask(db::commit_work{});
  run();
  BOOST_TEST(code(late) == errc::aborted);
  BOOST_TEST(std::get<failure>(answers.at(late).outcome).detail.find("nothing was asked")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_transaction_that_lasts_too_long_is_rolled_back_even_if_it_is_busy) {
  work_options options;
  options.max_duration = 5s;
  start(options);
  for (int i = 0; i < 6; ++i) {
    ask(query());
    run();
    if (!out->bursts.empty() && i < 4)
      carry_out();
    advance(1s, 100ms);
  }
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
  BOOST_TEST(answers.size() == 6U);
  carry_out(); // too late, and harmless
  BOOST_TEST(answers.size() == 6U);
}

BOOST_AUTO_TEST_CASE(a_session_without_a_transaction_may_wait_for_ever) {
  ask(query());
  ask(db::commit_work{});
  run();
  carry_out();
  advance(1h, 10s);
  const int late = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(late) == errc::none);
}

BOOST_AUTO_TEST_CASE(a_forgotten_session_finishes_what_was_asked_and_rolls_the_rest_back) {
  const int asked_last = ask(query());
  caf::anon_send(unit, halt_atom_v);
  run();
  BOOST_TEST(!ended(unit));
  carry_out();
  BOOST_TEST(code(asked_last) == errc::none);
  BOOST_TEST(ended(unit));
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
  BOOST_TEST((state_of<work_desk_state, work_desk_impl>(desk).units.empty()));
}

BOOST_AUTO_TEST_CASE(a_unit_that_is_killed_gives_back_and_answers) {
  const int open = ask(query());
  run();
  const int waiting = ask(query());
  run();
  caf::anon_send_exit(unit, caf::exit_reason::kill);
  run();
  BOOST_TEST(code(open) == errc::stopping);
  BOOST_TEST(code(waiting) == errc::stopping);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
}

BOOST_AUTO_TEST_CASE(the_desk_takes_all_of_them_along) {
  ask(query());
  run();
  caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
  run();
  BOOST_TEST(ended(unit));
  BOOST_TEST(out_now() == 0);
  start(); // one that comes too late
  BOOST_TEST(ended(unit));
}

BOOST_AUTO_TEST_CASE(only_after_the_commit_somebody_is_woken) {
  caf::anon_send(unit, job_added{{.kind = "k", .queue = "later", .delay = 5s}, 0});
  ask(db::flush_work{});
  run();
  BOOST_TEST(sent() == "transaction_begin job_enqueue transaction_id");
  carry_out();
  add("now");
  BOOST_TEST(woken->wakes.empty());
  BOOST_TEST(dues->empty());
  const int committed = ask(db::commit_work{});
  run();
  BOOST_TEST(woken->wakes.empty());
  carry_out();
  const auto& value = std::get<db::work_reply>(answers.at(committed).outcome);
  BOOST_TEST(std::get<db::committed_work>(value).added.size() == 2U);
  BOOST_TEST(woken->wakes == std::vector<std::string>{"now"});
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() == caf::timespan{5s}));
  BOOST_TEST(counters.jobs_enqueued == 2U);
}

BOOST_AUTO_TEST_CASE(a_run_ends_its_transaction_by_its_completion_only) {
  work_options options;
  options.of_run = true;
  start(options);
  ask(query());
  const int refused = ask(db::commit_work{});
  const int refused_too = ask(db::rollback_work{});
  const int meant = ask(db::commit_work{}, true);
  run();
  carry_out();
  BOOST_TEST(code(refused) == errc::conflict);
  BOOST_TEST(code(refused_too) == errc::conflict);
  BOOST_TEST(code(meant) == errc::none);
}

BOOST_AUTO_TEST_CASE(a_lost_commit_without_a_number_is_unknown) {
  ask(query());
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  BOOST_TEST(code(committed) == errc::outcome_unknown);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(out->queries.empty());
}

BOOST_AUTO_TEST_CASE(a_lost_commit_with_a_number_is_looked_up_until_it_is_known) {
  for (const std::string fate : {"committed", "aborted"}) {
    add();
    ask(db::flush_work{});
    run();
    carry_out();
    const int committed = ask(db::commit_work{});
    run();
    lose({errc::outcome_unknown, "cut"});
    const int behind = ask(query());
    run();
    BOOST_TEST(!has(committed));
    BOOST_TEST(out_now() == 0);
    for (const std::string told : {"in progress", fate.c_str()}) {
      BOOST_REQUIRE(out->queries.size() == 1U);
      auto asked_status = out->queries.front();
      out->queries.pop_front();
      inside_pool(
          [asked_status, told]() mutable { asked_status.deliver(row_of(db::oid::text, told)); });
      advance(300ms, 50ms);
    }
    BOOST_TEST(code(committed) == (fate == "committed" ? errc::none : errc::unavailable));
    if (fate == "committed") {
      BOOST_TEST(woken->wakes == std::vector<std::string>{"default"});
      carry_out();
    } else {
      BOOST_TEST(woken->wakes.size() == 1U);
    }
    BOOST_TEST(code(behind) == (fate == "committed" ? errc::none : errc::aborted));
    ask(db::rollback_work{});
    run();
    if (!out->bursts.empty())
      carry_out();
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_found_out_stays_unknown) {
  ask(query());
  run();
  carry_out();
  const int committed = ask(db::commit_work{});
  run();
  lose({errc::outcome_unknown, "cut"});
  for (int i = 0; i < 20; ++i) {
    BOOST_REQUIRE(out->queries.size() == 1U);
    BOOST_TEST(!has(committed));
    auto asked_status = out->queries.front();
    out->queries.pop_front();
    inside_pool([asked_status]() mutable {
      asked_status.deliver(make_error(errc::unavailable, "no connection"));
    });
    advance(300ms, 50ms);
  }
  BOOST_TEST(code(committed) == errc::outcome_unknown);
  ask(db::rollback_work{});
  const int after = ask(query());
  run();
  carry_out();
  BOOST_TEST(code(after) == errc::none);
}

BOOST_AUTO_TEST_CASE(the_engines_own_statements_leave_no_taint_and_a_users_do) {
  ask(query());
  ask(db::commit_work{});
  run();
  carry_out();
  BOOST_TEST(!out->tainted);
  ask(db::run_query{db::query{db::dynamic_statement{"mine", "select 1"}}});
  ask(db::commit_work{});
  run();
  carry_out();
  BOOST_TEST(out->tainted);
}

BOOST_AUTO_TEST_SUITE_END()
