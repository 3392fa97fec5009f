// EXECUTOR's incoming side: batches are claimed when there is room, jobs that may start at once
// come with the transaction that stores them, leases whose answer was lost are adopted.
#pragma once

#include "actors/executor.hpp"

#include <string>
#include <vector>

namespace troupe {

/// What this node keeps of a queue, from the first time it hears of it; null above max_queues.
executor_state::queue_state* queue_of(executor_state& state, const std::string& name);

/// Claims for this queue if it is hungry and has room.
void claim(executor_impl::stateful_pointer<executor_state> self, const std::string& name,
           executor_state::queue_state& queue);

/// Tells INTAKE that a job of this queue could start at once, so that it need not be claimed.
void invite(executor_impl::stateful_pointer<executor_state> self, const std::string& name,
            executor_state::queue_state& queue);

/// The invitation was taken up: stores these jobs, and runs them here when nothing speaks against
/// it.
caf::result<enqueued_jobs> store_and_start(executor_impl::stateful_pointer<executor_state> self,
                                           const enqueue_jobs_ptr& asked);

/// Adopts, of the leases a pulse has named, those whose claim was not answered.
void adopt_lost(executor_impl::stateful_pointer<executor_state> self,
                const std::vector<lease_id>& stored);

/// Starts what was claimed and has a place. Defined beside the running.
void start_backlog(executor_impl::stateful_pointer<executor_state> self,
                   executor_state::queue_state& queue);

} // namespace troupe
