// Which of our values travel in CAF messages, and how an errc becomes a caf::error.
// All of them are local-only: they carry functions, stop tokens or whole batches, and a hint
// between nodes needs none of them. A type that may cross the wire gets inspect() and a type id
// instead.
#pragma once

#include "messages/engine_requests.hpp"
#include "messages/requests.hpp"
#include "messages/run_reports.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/error.hpp>
#include <caf/make_message.hpp>
#include <caf/type_id.hpp>

namespace troupe {

constexpr caf::atom_value errc_category = caf::atom("troupe");

inline caf::error make_error(errc code) {
  return {static_cast<std::uint8_t>(code), errc_category};
}
inline caf::error make_error(errc code, std::string detail) {
  return {static_cast<std::uint8_t>(code), errc_category, caf::make_message(std::move(detail))};
}

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::api_call_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::enqueue_jobs_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::enqueued_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::found_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::cancel_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::retry_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::delete_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::deleted_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::edit_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::start_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::preview_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::bulk_preview)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_bulks)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::cancel_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::bulk_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::bulk_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::step_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::stepped_bulk)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_log)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::log_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::watch_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_sights)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::record_reports)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::recorded_reports)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::explain_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_hold)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::find_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::found_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::create_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::token_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_tokens)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::token_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::revoke_token)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_audit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::audit_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_queue)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_queues)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::pause_queue)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::limit_queue)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_counts)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::counts_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::queue_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::queue_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::drain_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_retention)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::retention_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::change_ages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::forget_ages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_ages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::ask_doctor)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::doctor_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_nodes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::node_record)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::node_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::join_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::leave_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::node_id)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::beat)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::pulse)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::vector<troupe::permit_cap>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::claim_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::adopt_lease)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::claimed_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::enqueue_here)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::enqueued_here)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::start_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::finish_runs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::finished_runs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::promote_due)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::promoted_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rescue_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::rescued_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::upkeep)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::upkept)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expire_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::expired_jobs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::measure_database)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::database_measures)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::probe_database)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::database_probe)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::open_crawl)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_crawl_spec)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::crawl_spec)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::record_pages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::recorded_pages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::get_crawl_progress)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::crawl_progress)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::close_crawl)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::list_items)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::item_page)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::assignment)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_result)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::finished_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::join_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::joined_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::claim_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::claimed_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::claim_queue)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::finish_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::finished_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::beat_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::work_pulse)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::report_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::reported_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::leave_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::left_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::steer_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::steered_worker)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::job_id)
