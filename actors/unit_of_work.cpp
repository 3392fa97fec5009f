#include "actors/unit_of_work.hpp"

#include "actors/guard.hpp"
#include "actors/statement.hpp"
#include "actors/unit_of_work_parts.hpp"
#include "db/statements.hpp"

#include <algorithm>
#include <iterator>

namespace troupe {

namespace {

using db::is;
using work_parts::pump;
using work_parts::self_ptr;
using rollback_cause = database_metrics::rollback_cause;
using phase = db::unit_of_work::phase;

void hurry(self_ptr self) {
  if (!std::exchange(self->state.flush_sent, true))
    self->send(self, flush_atom_v);
}

/// What is still on its way is not waited for: POOL undoes it behind its answers.
void give_back(unit_of_work_state& state) {
  state.loan.reset();
  ++state.life;
  state.sent = false;
  state.borrowing = false;
}

// -- answers

/// Only now: before the commit nobody could have claimed them.
void wake(self_ptr self, const db::committed_work& receipt) {
  auto& peers = self->state.peers;
  peers.counters->jobs_enqueued += receipt.added.size();
  for (const auto& queue : receipt.ready_queues)
    self->send(peers.executor, wake_atom_v, queue);
  if (receipt.soonest)
    self->send(peers.scheduler, due_atom_v, caf::timespan{*receipt.soonest});
}

void answer(self_ptr self, db::unit_of_work::settled& told) {
  auto& state = self->state;
  const auto found = state.calls.find(told.call);
  if (found == state.calls.end())
    return;
  if (const auto* value = std::get_if<db::work_reply>(&told.outcome))
    if (const auto* receipt = std::get_if<db::committed_work>(value))
      wake(self, *receipt);
  found->second.call->answer({std::move(told.outcome), told.failures});
  state.calls.erase(found);
}

void ask_outcome(self_ptr self);

void resolved(self_ptr self, bool committed) {
  auto& state = self->state;
  state.inquiry_ends.reset();
  const auto receipt = state.work.resolved(committed);
  for (auto& told : std::exchange(state.in_doubt, {})) {
    const auto found = state.calls.find(told.call);
    if (committed && found != state.calls.end() && found->second.commits)
      told.outcome = db::work_reply{receipt};
    else if (committed)
      told.outcome = failure{errc::unavailable, "the answer was lost with its connection; the "
                                                "transaction was committed"};
    else
      told.outcome = state.work.reason();
    answer(self, told);
  }
  pump(self);
}

void stay_in_doubt(self_ptr self) {
  auto& state = self->state;
  state.inquiry_ends.reset();
  for (auto& told : std::exchange(state.in_doubt, {}))
    answer(self, told);
  pump(self);
}

void ask_again_later(self_ptr self) {
  constexpr auto pause = unit_of_work_state::inquiry_pause;
  auto& state = self->state;
  if (self->clock().now() + pause >= state.inquiry_ends)
    return stay_in_doubt(self);
  self->delayed_send(self, pause, dial_atom_v, state.life);
}

/// The commit's answer was lost: another connection knows what became of the transaction. POOL and
/// a frozen server may take longer to answer than we wait.
void ask_outcome(self_ptr self) {
  auto& state = self->state;
  db::query status{db::sql::transaction_status};
  status.bind(state.work.transaction());
  self->request(state.peers.pool, *state.inquiry_ends - self->clock().now(),
                std::make_shared<const db::query>(std::move(status)))
      .then(
          [self](const db::result& rows) {
            const auto text = rows.one().get<std::optional<std::string>>(0).value_or("");
            if (text == "committed" || text == "aborted")
              return resolved(self, text == "committed");
            if (text == "not told") // nor will it ever be
              return stay_in_doubt(self);
            ask_again_later(self);
          },
          [self](const caf::error&) { ask_again_later(self); });
}

void settle(self_ptr self) {
  auto& state = self->state;
  auto& work = state.work;
  while (auto told = work.next()) {
    const auto* why = std::get_if<failure>(&told->outcome);
    if (why != nullptr && why->code == errc::outcome_unknown && work.at() == phase::unknown
        && !work.transaction().empty())
      state.in_doubt.push_back(*std::move(told));
    else
      answer(self, *told);
  }
  if (!state.in_doubt.empty() && !state.inquiry_ends) {
    state.inquiry_ends = self->clock().now() + unit_of_work_state::inquiry_limit;
    give_back(state);
    ask_outcome(self);
  }
  if (work.holds_connection())
    return;
  if (state.begun && work.at() == phase::aborted) {
    const auto code = work.reason().code;
    state.peers.metrics->rolled_back(code == errc::retry || code == errc::stale
                                             || code == errc::fenced
                                         ? rollback_cause::conflict
                                         : rollback_cause::failed);
  }
  state.begun = false;
}

// -- the way out

void take_answers(self_ptr self, const burst_answers& answers) {
  auto& work = self->state.work;
  for (const auto& one : answers.each) {
    if (const auto* why = std::get_if<failure>(&one)) {
      work.take(*why);
    } else {
      const auto& rows = std::get<db::result>(one);
      work.take(rows, rows.command_tag());
    }
  }
}

} // namespace

void work_parts::answered(self_ptr self, std::uint64_t life, const burst_answers& answers) {
  auto& state = self->state;
  if (life != state.life)
    return;
  state.sent = false;
  state.touched_at = self->clock().now();
  take_answers(self, answers);
  const bool failed = std::any_of(answers.each.begin(), answers.each.end(), [](const auto& one) {
    return std::holds_alternative<failure>(one);
  });
  if (state.copy && !failed) {
    settle(self);
    return begin_copy(self);
  }
  auto skipped = std::exchange(state.copy, std::nullopt);
  if (skipped)
    state.work.take({errc::aborted, "skipped: what was sent before it failed"});
  settle(self);
  // It is lost, or its server still has the failed transaction open: no use for the next one.
  if (failed && !state.work.holds_connection())
    give_back(state);
  pump(self);
  if (skipped)
    close_copy(state, *skipped);
}

namespace {

using work_parts::answered;

/// None of the burst was sent.
burst_answers refused(const caf::error& why, std::size_t count) {
  burst_answers out;
  out.each.resize(count, to_failure(why));
  return out;
}

void send(self_ptr self) {
  auto& state = self->state;
  if (state.options.resolve)
    for (auto& own : state.work.seal())
      state.burst.push_back(std::move(own));
  auto out = std::make_shared<burst>();
  out->statements = std::exchange(state.burst, {});
  for (const auto& one : out->statements)
    if (!one.what().prepared) // the user's own: it may leave anything behind
      state.loan->taint();
  state.sent = true;
  state.kept = false;
  const auto count = out->statements.size();
  self->request(state.loan->connection(), caf::infinite, burst_ptr{std::move(out)})
      .then([self,
             life = state.life](const burst_answers& answers) { answered(self, life, answers); },
            [self, life = state.life, count](const caf::error& why) {
              answered(self, life, refused(why, count));
            });
}

void borrow(self_ptr self) {
  auto& state = self->state;
  if (std::exchange(state.borrowing, true))
    return;
  self->request(state.peers.pool, caf::infinite, lend_atom_v)
      .then(
          [self, life = state.life](const loan_ptr& lent) {
            auto& now = self->state;
            if (life != now.life) // too late: it goes back with the last copy
              return;
            now.borrowing = false;
            now.loan = lent;
            send(self);
          },
          [self, life = state.life](const caf::error& why) {
            auto& now = self->state;
            if (life != now.life)
              return;
            now.borrowing = false;
            answered(self, life, refused(why, std::exchange(now.burst, {}).size()));
          });
}

// -- the way in

void note(self_ptr self, const db::work_request& request, const db::unit_of_work::planned& plan) {
  auto& state = self->state;
  if (plan.statements.empty())
    return;
  if (!state.begun && state.work.at() == phase::active) {
    state.begun = true;
    state.begun_at = self->clock().now();
    ++state.peers.metrics->transactions;
  }
  if (is<db::set_savepoint>(request))
    ++state.peers.metrics->savepoints;
  if (is<db::rollback_work>(request))
    state.peers.metrics->rolled_back(rollback_cause::asked);
}

/// The first that waits; false when it has to go on waiting.
bool take_in(self_ptr self) {
  auto& state = self->state;
  auto& first = state.waiting.front();
  if (auto* call = std::get_if<work_call_ptr>(&first)) {
    const auto& asked = **call;
    if (work_parts::is_for_runner(state, asked)) {
      asked.answer({failure{errc::conflict, "a run's transaction ends with its completion"},
                    state.work.failures()});
    } else if (is<db::copy_step>(asked.request)) {
      settle(self); // its COPY may have been refused just now
      asked.answer({failure{errc::conflict, "this COPY is not open"}, state.work.failures()});
    } else {
      if (!state.work.may_plan(asked.request))
        return false;
      auto plan = state.work.plan(asked.request, asked.seen);
      note(self, asked.request, plan);
      if (const auto* copy = std::get_if<db::copy_rows>(&asked.request);
          copy != nullptr && !plan.statements.empty()) {
        auto what = std::make_shared<const db::query>(std::move(plan.statements.back()));
        plan.statements.pop_back();
        state.copy.emplace(
            unit_of_work_state::open_copy{copy->number, {std::move(what), copy->in}});
      }
      if (state.burst.empty())
        state.burst.reserve(unit_of_work_state::usual_burst);
      std::move(plan.statements.begin(), plan.statements.end(), std::back_inserter(state.burst));
      state.calls.emplace(plan.call, unit_of_work_state::taken{std::move(*call),
                                                               is<db::commit_work>(asked.request)});
    }
  } else {
    if (!state.work.may_mark())
      return false;
    work_parts::take_mark(state, first);
  }
  state.waiting.pop_front();
  return true;
}

} // namespace

bool work_parts::is_for_runner(const unit_of_work_state& state, const work_call& asked) {
  return state.options.of_run && !asked.of_runner
         && (is<db::commit_work>(asked.request) || is<db::rollback_work>(asked.request));
}

void work_parts::take_mark(unit_of_work_state& state, work_message& mark) {
  if (auto* added = std::get_if<job_added>(&mark))
    state.work.add(std::move(added->job), added->seen);
  else
    state.work.remove(std::get<job_removed>(mark).id, std::get<job_removed>(mark).seen);
}

void work_parts::pump(self_ptr self) {
  auto& state = self->state;
  if (!state.waiting.empty())
    state.touched_at = self->clock().now();
  if (state.copy && state.burst.empty())
    return step_copy(self);
  if (state.sent || !state.in_doubt.empty())
    return;
  for (auto& own : state.work.recovery())
    state.burst.push_back(std::move(own));
  while (!state.waiting.empty() && state.burst.size() < unit_of_work_state::max_burst && !state.copy
         && take_in(self)) {
  }
  settle(self);
  if (!state.burst.empty())
    return state.loan ? send(self) : borrow(self);
  if (!state.waiting.empty())
    return hurry(self);
  if (!state.work.holds_connection() && state.loan) {
    // Who was just answered may have asked again: his calls are in the mailbox, before our hurry.
    if (!state.closing && !std::exchange(state.kept, true) && state.loan->may_be_kept())
      return hurry(self);
    give_back(state);
  }
  if (state.closing && state.calls.empty())
    self->quit();
}

namespace {

void abort(self_ptr self, const failure& why, rollback_cause cause) {
  auto& state = self->state;
  auto copy = std::exchange(state.copy, std::nullopt);
  if (state.begun)
    state.peers.metrics->rolled_back(cause);
  state.begun = false;
  state.burst.clear();
  give_back(state);
  state.work.abort(why);
  pump(self);
  if (copy)
    work_parts::close_copy(state, *copy);
}

void keep(self_ptr self, work_message what) {
  auto& state = self->state;
  if (state.waiting.size() >= unit_of_work_state::max_waiting) {
    state.waiting.clear(); // each call that goes is answered
    return abort(self,
                 {errc::overloaded, "more than " + std::to_string(unit_of_work_state::max_waiting)
                                        + " calls wait; await some of them"},
                 rollback_cause::failed);
  }
  state.waiting.push_back(std::move(what));
  if (!state.sent || state.copy)
    hurry(self);
}

void look_at_time(self_ptr self) {
  auto& state = self->state;
  if (!state.begun || state.work.committing())
    return;
  const auto now = self->clock().now();
  if (now - state.begun_at > state.options.max_duration)
    abort(self,
          {errc::timed_out, "the transaction was open for more than "
                                + std::to_string(state.options.max_duration.count()) + " ms"},
          rollback_cause::timed_out);
  else if ((state.copy ? work_parts::rests(*state.copy) : !state.sent) && !state.borrowing
           && now - state.touched_at > state.options.idle_timeout)
    abort(self,
          {errc::timed_out, "nothing was asked of the transaction for more than "
                                + std::to_string(state.options.idle_timeout.count()) + " ms"},
          rollback_cause::timed_out);
}

void enrol(self_ptr self) {
  self->request(self->state.peers.desk, caf::infinite, unit_of_work_actor{self})
      .then([self](std::uint64_t number) { self->state.number = number; },
            [self](caf::error& why) {
              if (why != errc::overloaded)
                return self->quit(std::move(why)); // the engine is stopping
              abort(self, to_failure(why), rollback_cause::failed);
            });
}

} // namespace

unit_of_work_state::~unit_of_work_state() {
  if (begun && !work.committing())
    peers.metrics->rolled_back(rollback_cause::abandoned);
  if (number != 0)
    caf::anon_send(peers.desk, number);
}

unit_of_work_impl::behavior_type
unit_of_work(unit_of_work_impl::stateful_pointer<unit_of_work_state> self, work_peers peers,
             work_options options) {
  self->state.peers = std::move(peers);
  self->state.options = options;
  enrol(self);
  return {
      guarded([self](job_added& what) { keep(self, std::move(what)); }),
      guarded([self](job_removed& what) { keep(self, what); }),
      guarded([self](work_call_ptr& what) { keep(self, std::move(what)); }),
      guarded([self](halt_atom) {
        self->state.closing = true;
        pump(self);
      }),
      guarded([self](tick_atom) { look_at_time(self); }),
      guarded([self](flush_atom) {
        self->state.flush_sent = false;
        pump(self);
      }),
      guarded([self](dial_atom, std::uint64_t life) {
        if (life == self->state.life && !self->state.in_doubt.empty())
          ask_outcome(self);
      }),
  };
}

} // namespace troupe
