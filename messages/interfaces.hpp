// Every actor's typed interface on one page (but those of work_interfaces.hpp, and POOL and
// CONNECTION in actors/pg_protocol.hpp); each line says what the message means.
#pragma once

#include "messages/type_ids.hpp"

#include <caf/replies_to.hpp>
#include <caf/timespan.hpp>
#include <caf/typed_actor.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(troupe, caf::first_custom_type_id)
  CAF_ADD_ATOM(troupe, troupe, wake_atom, "wake")
  CAF_ADD_ATOM(troupe, troupe, tick_atom, "tick")
  CAF_ADD_ATOM(troupe, troupe, drain_atom, "drain")
  CAF_ADD_ATOM(troupe, troupe, halt_atom, "halt")
  CAF_ADD_ATOM(troupe, troupe, cancel_atom, "cancel")
  CAF_ADD_ATOM(troupe, troupe, due_atom, "due")
  CAF_ADD_ATOM(troupe, troupe, idle_atom, "idle")
  CAF_ADD_ATOM(troupe, troupe, beat_atom, "beat")
CAF_END_TYPE_ID_BLOCK(troupe)

namespace troupe {

/// GATE: the way in. Spawns one SESSION per request; answers errc::overloaded above its bound.
using gate_actor = caf::typed_actor<
    // Serve this request; the call itself carries the answer back.
    caf::reacts_to<api_call_ptr>>;

/// INTAKE: what is enqueued at the same time shares a transaction.
using intake_actor = caf::typed_actor<
    // Store these jobs, all or none; answered after the commit.
    caf::replies_to<enqueue_jobs_ptr>::with<enqueued_jobs>,
    // EXECUTOR could start jobs of this queue at once: bring it the next ones, once.
    caf::reacts_to<wake_atom, std::string>>;

/// LOOKUP: jobs, with their attempts, and equal pages, asked for at one time, share a statement.
using lookup_actor = caf::typed_actor<caf::replies_to<get_job>::with<job_record>,
                                      caf::replies_to<list_jobs>::with<job_page>>;

/// STORE: domain questions to named statements, and rows to values. The only user of them.
using store_actor = caf::typed_actor<
    // Store these jobs, all or none.
    caf::replies_to<enqueue_jobs_ptr>::with<enqueued_jobs>,
    // One job with its attempts, several, as far as they are there, and one page of jobs.
    caf::replies_to<get_job>::with<job_record>, caf::replies_to<get_jobs>::with<found_jobs>,
    caf::replies_to<list_jobs>::with<job_page>,
    // Write the outcome `cancelled` first, whoever runs the job; make one available now.
    caf::replies_to<cancel_job>::with<job_record>, caf::replies_to<retry_job>::with<job_record>,
    // Remove a job that does not run.
    caf::replies_to<delete_job>::with<deleted_job>,
    // Change a job that waits.
    caf::replies_to<edit_job>::with<job_record>,
    // Begin an operation on many jobs; JANITOR takes its steps.
    caf::replies_to<start_bulk>::with<bulk_record>,
    // How many jobs it would meet.
    caf::replies_to<preview_bulk>::with<bulk_preview>,
    // One operation, and one page of them.
    caf::replies_to<get_bulk>::with<bulk_record>, caf::replies_to<list_bulks>::with<bulk_page>,
    // Do nothing more of it.
    caf::replies_to<cancel_bulk>::with<bulk_record>,
    // One step of one operation.
    caf::replies_to<step_bulk>::with<stepped_bulk>,
    // One page of a job's log.
    caf::replies_to<get_log>::with<log_page>,
    // Which of these jobs are others than they were.
    caf::replies_to<watch_jobs>::with<job_sights>,
    // What holds a job.
    caf::replies_to<explain_job>::with<job_hold>,
    // One queue, and one page of them; how many jobs are in each state.
    caf::replies_to<get_queue>::with<queue_record>, caf::replies_to<list_queues>::with<queue_page>,
    caf::replies_to<get_counts>::with<counts_page>,
    // Pause a queue, or end that; how much of it may run at once, or wait.
    caf::replies_to<pause_queue>::with<queue_record>,
    caf::replies_to<limit_queue>::with<queue_record>,
    // The newest life of the node of a name, and one page of lives; drain one.
    caf::replies_to<get_node>::with<node_record>, caf::replies_to<list_nodes>::with<node_page>,
    caf::replies_to<drain_node>::with<node_record>,
    // What is kept how long; change it for jobs.
    caf::replies_to<get_retention>::with<retention_record>,
    caf::replies_to<change_ages>::with<job_ages>, caf::replies_to<forget_ages>::with<job_ages>,
    // The token that was shown, and a new one, whose secret is not known here.
    caf::replies_to<find_token>::with<found_token>,
    caf::replies_to<create_token>::with<token_record>,
    // One page of tokens; one that opens nothing from its commit on.
    caf::replies_to<list_tokens>::with<token_page>,
    caf::replies_to<revoke_token>::with<token_record>,
    // One page of what was changed by whom.
    caf::replies_to<list_audit>::with<audit_page>,
    // Begin a node's life, and end it.
    caf::replies_to<join_node>::with<node_id>, caf::reacts_to<leave_node>,
    // Heartbeat.
    caf::replies_to<beat>::with<pulse>,
    // Hand out a batch.
    caf::replies_to<claim_jobs>::with<claimed_jobs>,
    // Store these jobs and hand them out in one.
    caf::replies_to<enqueue_here>::with<enqueued_here>,
    // Read a lease of this node again.
    caf::replies_to<adopt_lease>::with<claimed_jobs>,
    // Say that this job starts.
    caf::replies_to<start_run>::with<bool>,
    // Write outcomes, fenced by their leases.
    caf::replies_to<finish_runs>::with<finished_runs>,
    // What runs said, fenced by their leases.
    caf::replies_to<record_reports>::with<recorded_reports>,
    // Move due jobs into their lanes.
    caf::replies_to<promote_due>::with<promoted_jobs>,
    // Take a dead node's jobs back.
    caf::replies_to<rescue_node>::with<rescued_jobs>,
    // Partitions and revocations.
    caf::replies_to<upkeep>::with<upkept>,
    // Takes one step towards the end of history that is past its age.
    caf::replies_to<expire_jobs>::with<expired_jobs>,
    // What /metrics shows of the database; does that answer, and is it in order?
    caf::replies_to<measure_database>::with<database_measures>,
    caf::replies_to<probe_database>::with<database_probe>>;

/// CRAWL STORE: the same for crawls, pages and items.
using crawl_store_actor = caf::typed_actor<
    // Make the crawl and its first page, or find it made.
    caf::replies_to<open_crawl>::with<crawl_progress>,
    // What the crawl was opened with.
    caf::replies_to<get_crawl_spec>::with<crawl_spec>,
    // Store items once, queue new links.
    caf::replies_to<record_pages>::with<recorded_pages>,
    // Progress, reconciled with the page jobs' states.
    caf::replies_to<get_crawl_progress>::with<crawl_progress>,
    // Take no more pages; cancel those that wait.
    caf::replies_to<close_crawl>::with<crawl_progress>,
    // A page of items.
    caf::replies_to<list_items>::with<item_page>>;

/// SCHEDULER: moves deferred jobs into their lanes by timer; told in how long the next one is due.
using scheduler_actor = caf::typed_actor<caf::reacts_to<due_atom, caf::timespan>>;

/// NOTIFIER: is told by PostgreSQL what SQL and other nodes change, and tells those it concerns.
using notifier_actor = caf::typed_actor<
    // A claim found nothing in this queue; wake EXECUTOR. true: one has found jobs since last time.
    caf::reacts_to<idle_atom, std::string, bool>>;

/// DISPATCHER, as EXECUTOR knows it (messages/work_interfaces.hpp).
using woken_actor = caf::typed_actor<caf::reacts_to<wake_atom, std::string>>;

/// EXECUTOR: slots per queue; claims when slots free up, hands to RUNNERs, gathers finishes.
using executor_actor = caf::typed_actor<
    // There is work in this queue; claim if slots are free.
    caf::reacts_to<wake_atom, std::string>,
    // This queue is paused: give back what has not started.
    caf::reacts_to<halt_atom, std::string>,
    // PULSE: of these queues keep no more permits, and of all others as many as are needed.
    caf::reacts_to<std::vector<permit_cap>>,
    // These jobs have an outcome already: stop their runs.
    caf::reacts_to<cancel_atom, std::vector<job_id>>,
    // PULSE joined as this node: claim from now on. Leases of an earlier life are void. 0: that
    // life is over, and the next has yet to begin.
    caf::reacts_to<node_id>,
    // These are the leases the database holds for us; adopt the one we never heard of.
    caf::reacts_to<std::vector<lease_id>>,
    // Claim nothing more; answered when every run has ended and its outcome is written.
    caf::reacts_to<drain_atom>,
    // PULSE: claim and start nothing more, until the same comes with false.
    caf::reacts_to<drain_atom, bool>,
    // Stop waiting: request stop from every run; what is left is rescued by others.
    caf::reacts_to<halt_atom>,
    // Whom to tell about attempts that wait for their time.
    caf::reacts_to<scheduler_actor>,
    // Who brings jobs that may start at once.
    caf::reacts_to<intake_actor>,
    // Who wakes it when work comes to a queue that has none.
    caf::reacts_to<notifier_actor>,
    // DISPATCHER wants to hear of the next wake of this queue, too.
    caf::reacts_to<woken_actor, std::string>,
    // INTAKE: store these jobs of one queue, and run them here if they can start at once.
    caf::replies_to<enqueue_jobs_ptr>::with<enqueued_jobs>,
    // The kinds this node can run; before any node_id.
    caf::reacts_to<handler_table_ptr>>;

/// RUNNER: one running job: starts the handler, watches its deadline, reports its result.
using runner_actor = caf::typed_actor<
    // Run this job.
    caf::reacts_to<assignment>,
    // Request stop: the job was cancelled or its lease is gone.
    caf::reacts_to<cancel_atom>>;

/// JANITOR: rescue of dead nodes, partitions ahead, revocations, counts, operations on many jobs.
using janitor_actor = caf::typed_actor<
    // This node is dead: take its jobs back.
    caf::reacts_to<node_id>,
    // There is an operation on many jobs to be gone on with.
    caf::reacts_to<wake_atom>>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::scheduler_actor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::intake_actor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::notifier_actor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::woken_actor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::handler_table_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<troupe::job_id>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::lease_id)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<troupe::lease_id>)
