// EXECUTOR's outgoing side: outcomes gather while a batch is being written, a refused batch is cut
// until the one run that is refused stands alone, an unanswered one is sent again.
#pragma once

#include "actors/executor.hpp"

namespace troupe {

/// Puts an ended run into the next batch. A run of a lease that is not ours any more is dropped.
void note_ended(executor_state& state, job_report& told, executor_state::queue_state& queue,
                bool cancelled);

/// Sends the next batch unless one is on its way.
void write_outcomes(executor_impl::stateful_pointer<executor_state> self);

/// Claims for every queue that is hungry and has room: outcomes that are written make room.
/// Defined beside the claiming.
void claim_where_room(executor_impl::stateful_pointer<executor_state> self);

/// Forgets outcomes whose leases are void.
void drop_unwritten(executor_state& state);

/// Answers those who wait for the drain once nothing runs and nothing is unwritten.
void check_drained(executor_impl::stateful_pointer<executor_state> self);

} // namespace troupe
