// The interfaces of the actors that serve workers by HTTP; the others are in interfaces.hpp.
#pragma once

#include "messages/interfaces.hpp"

namespace troupe {

/// WORK STORE: what workers by HTTP ask, to named statements, and rows to values.
using work_store_actor = caf::typed_actor<
    // Begin a life, and end it.
    caf::replies_to<join_worker>::with<joined_worker>,
    caf::replies_to<leave_worker>::with<left_worker>,
    // Heartbeat.
    caf::replies_to<beat_worker>::with<work_pulse>,
    // Hand out a batch of one queue.
    caf::replies_to<claim_queue>::with<claimed_work>,
    // Write outcomes, each fenced by its lease.
    caf::replies_to<finish_work>::with<finished_work>,
    // What runs said, fenced by their leases.
    caf::replies_to<report_work>::with<reported_work>,
    // Tell a worker to take no more, or to end.
    caf::replies_to<steer_worker>::with<steered_worker>>;

/// DISPATCHER: claims of workers by HTTP; those that find nothing wait for work.
using dispatcher_actor = woken_actor::extend<
    // Up to so many jobs, now or when some come; none when the wait is over.
    caf::replies_to<claim_work>::with<claimed_work>,
    // Who wakes EXECUTOR when work comes to a queue that has none.
    caf::reacts_to<notifier_actor>,
    // The node ends: nobody waits any longer.
    caf::reacts_to<drain_atom>>;

} // namespace troupe
