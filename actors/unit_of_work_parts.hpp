// What the sources of UNIT OF WORK share. Private to UNIT OF WORK.
#pragma once

#include "actors/unit_of_work.hpp"

namespace troupe::work_parts {

using self_ptr = unit_of_work_impl::stateful_pointer<unit_of_work_state>;

/// Takes in what waits, and sends what was planned when nothing is on its way.
void pump(self_ptr self);
/// The burst of this life of the loan is answered.
void answered(self_ptr self, std::uint64_t life, const burst_answers& answers);
/// The end of a run's transaction, asked by somebody else.
bool is_for_runner(const unit_of_work_state& state, const work_call& asked);
void take_mark(unit_of_work_state& state, work_message& mark);

/// What was planned before the COPY went well: its turn.
void begin_copy(self_ptr self);
/// Takes in what waits while a COPY is open: its steps, marks, and what may not be asked now.
void step_copy(self_ptr self);
/// Answers the steps that are left of a COPY that has ended; its own call is answered before.
void close_copy(const unit_of_work_state& state, unit_of_work_state::open_copy& ended);
/// Nothing is asked of the COPY.
bool rests(const unit_of_work_state::open_copy& copy);

} // namespace troupe::work_parts
