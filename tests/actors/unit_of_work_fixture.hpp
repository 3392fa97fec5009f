// UNIT OF WORK over a POOL and a CONNECTION that the test answers for.
#pragma once

#include "actors/unit_of_work.hpp"
#include "actors/work_desk.hpp"
#include "db/wire.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <libpq-fe.h>

namespace troupe::tests {

using namespace std::chrono_literals; // NOLINT(google-build-using-namespace)

inline const db::statement one_statement{"one", "select 1"};

inline db::result row_of(unsigned type, std::string bytes) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc column{name.data(), 0, 0, 1, type, -1, -1};
  PQsetResultAttrs(raw, 1, &column);
  PQsetvalue(raw, 0, 0, bytes.data(), static_cast<int>(bytes.size()));
  return {raw, db::not_owned(one_statement)};
}

/// What the server would say; of an enqueue, that it stored one job, number 5.
inline db::result answer_to(const std::string& name) {
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
  std::deque<caf::typed_response_promise<db::result>> copies; ///< begun, and not ended
  std::deque<caf::typed_response_promise<std::string>> chunks;
  std::deque<caf::response_promise> puts;
  std::string steps;                                           ///< of a COPY, as they were asked
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

inline connection_double::behavior_type connection_on(connection_double::pointer self,
                                                      wire_ptr out) {
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
      [=](const copy_start& asked) -> caf::result<db::result> {
        auto promise = self->make_response_promise<db::result>();
        out->steps += asked.in ? "in" : "out";
        out->copies.push_back(promise);
        return promise;
      },
      [=](copy_atom) -> caf::result<std::string> {
        auto promise = self->make_response_promise<caf::typed_response_promise<std::string>>();
        out->steps += " next";
        out->chunks.push_back(promise);
        return promise;
      },
      [=](copy_atom, const std::string& bytes) -> caf::result<void> {
        auto promise = self->make_response_promise<caf::response_promise>();
        out->steps += " " + bytes;
        out->puts.push_back(promise);
        return promise;
      },
      [=](copy_atom, bool keep) { out->steps += keep ? " end" : " cancel"; },
      [](const act& what) { (*what)(); },
  };
}

inline loan_ptr make_loan(const wire_ptr& out, const connection_actor& connection) {
  ++out->lent;
  return std::make_shared<const loan>(connection, [out](bool tainted) {
    ++out->returned;
    out->tainted = tainted;
  });
}

inline pool_double::behavior_type pool_on(pool_double::pointer self, wire_ptr out,
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
        pool,    spawn(executor_double, woken), spawn(scheduler_double, dues), desk, {}, &counters,
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

} // namespace troupe::tests
