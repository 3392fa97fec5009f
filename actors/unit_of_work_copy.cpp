// A COPY in a UNIT OF WORK: one call that takes its time, answered at the end, and steps in between
// that go to the connection one at a time. Bounds: max_copy_steps and max_copy_bytes that wait;
// beyond them the COPY is cancelled, since a step that is not carried out would be a hole in it.
#include "actors/guard.hpp"
#include "actors/unit_of_work_parts.hpp"

namespace troupe::work_parts {

namespace {

using kind = db::copy_step::kind;
using open_copy = unit_of_work_state::open_copy;

void refuse(const unit_of_work_state& state, const work_call& asked, errc code,
            const std::string& why) {
  asked.answer({failure{code, why}, state.work.failures()});
}

db::copy_step& step_of(const work_call_ptr& asked) {
  return std::get<db::copy_step>(asked->request);
}

/// The COPY has ended; told to its own call first.
void ended(self_ptr self, std::uint64_t life, std::variant<failure, db::result> how) {
  auto& state = self->state;
  if (life != state.life || !state.copy)
    return;
  auto copy = *std::exchange(state.copy, std::nullopt);
  burst_answers one;
  one.each.push_back(std::move(how));
  answered(self, life, one);
  close_copy(state, copy);
}

/// Its answer is what the COPY itself is answered with.
void send_end(self_ptr self, bool keep) {
  auto& state = self->state;
  if (!std::exchange(state.copy->ending, true))
    self->request(state.loan->connection(), caf::infinite, copy_atom_v, keep)
        .then([] {}, [](const caf::error&) {});
}

/// The connection has answered a step; it is still the one that is asked.
bool is_asked(const unit_of_work_state& state, const work_call_ptr& step) {
  return state.copy && state.copy->asked == step;
}

void told(self_ptr self, const work_call_ptr& step, db::work_reply reply) {
  auto& state = self->state;
  if (!is_asked(state, step))
    return;
  state.copy->asked.reset();
  state.touched_at = self->clock().now();
  step->answer({std::move(reply), state.work.failures()});
  pump(self);
}

void send_step(self_ptr self) {
  auto& state = self->state;
  auto& copy = *state.copy;
  if (step_of(copy.steps.front()).what == kind::end)
    return send_end(self, true);
  copy.asked = std::move(copy.steps.front());
  copy.steps.pop_front();
  auto& step = step_of(copy.asked);
  copy.bytes -= step.bytes.size();
  // What fails, or comes behind the end, is answered with the COPY.
  const auto wait = [](const caf::error&) {};
  if (step.what == kind::next)
    self->request(state.loan->connection(), caf::infinite, copy_atom_v)
        .then(
            [self, call = copy.asked](std::string& rows) {
              if (!rows.empty())
                told(self, call, std::move(rows));
            },
            wait);
  else
    self->request(state.loan->connection(), caf::infinite, copy_atom_v, std::move(step.bytes))
        .then([self, call = copy.asked] { told(self, call, {}); }, wait);
}

void take_step(self_ptr self, const work_call_ptr& call) {
  auto& state = self->state;
  auto& copy = *state.copy;
  const auto& step = step_of(call);
  if (step.number != copy.number)
    return refuse(state, *call, errc::conflict, "this COPY is not open");
  if (copy.steps.size() >= unit_of_work_state::max_copy_steps
      || copy.bytes + step.bytes.size() > unit_of_work_state::max_copy_bytes) {
    refuse(state, *call, errc::overloaded,
           "more than " + std::to_string(unit_of_work_state::max_copy_steps) + " steps or "
               + std::to_string(unit_of_work_state::max_copy_bytes)
               + " bytes of a COPY wait; await them, and put less at once. It is cancelled");
    copy.cancelled = true;
    return;
  }
  copy.cancelled = copy.cancelled || (step.what == kind::cancel && !copy.closed);
  copy.closed = copy.closed || step.what == kind::end || step.what == kind::cancel;
  copy.bytes += step.bytes.size();
  copy.steps.push_back(call);
}

/// False when it has to wait for the end of the COPY.
bool take_in(self_ptr self, work_message& first) {
  auto& state = self->state;
  auto* call = std::get_if<work_call_ptr>(&first);
  if (call == nullptr) {
    take_mark(state, first);
    return true;
  }
  const auto& asked = **call;
  if (std::holds_alternative<db::copy_step>(asked.request)) {
    take_step(self, *call);
    return true;
  }
  const bool goes_back = std::holds_alternative<db::rollback_work>(asked.request)
                         || std::holds_alternative<db::rollback_to_savepoint>(asked.request);
  if (goes_back && !is_for_runner(state, asked)) {
    state.copy->cancelled = true;
    return false;
  }
  if (state.copy->closed)
    return false;
  refuse(state, asked, errc::conflict,
         "a COPY is open in this session: read it to its end, finish or cancel it first");
  return true;
}

} // namespace

void begin_copy(self_ptr self) {
  auto& state = self->state;
  auto& copy = *state.copy;
  copy.begun = true;
  state.loan->taint(); // the user's own statement
  self->request(state.loan->connection(), caf::infinite, copy.start)
      .then(
          [self, life = state.life](const db::result& done) { ended(self, life, done); },
          [self, life = state.life](const caf::error& why) { ended(self, life, to_failure(why)); });
  step_copy(self);
}

void step_copy(self_ptr self) {
  auto& state = self->state;
  while (!state.waiting.empty() && take_in(self, state.waiting.front()))
    state.waiting.pop_front();
  auto& copy = *state.copy;
  if (!copy.begun || copy.ending)
    return;
  if (copy.cancelled)
    send_end(self, false);
  else if (state.closing && !copy.closed)
    self->quit(); // nothing can follow: with the loan all of it ends
  else if (!copy.asked && !copy.steps.empty())
    send_step(self);
}

void close_copy(const unit_of_work_state& state, open_copy& ended) {
  if (ended.asked)
    ended.steps.push_front(std::move(ended.asked));
  for (const auto& left : ended.steps)
    refuse(state, *left, errc::conflict, "this COPY is not open");
}

bool rests(const open_copy& copy) {
  return copy.begun && !copy.asked && !copy.ending;
}

} // namespace troupe::work_parts
