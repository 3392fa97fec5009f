// Operations on many jobs, asked and stepped by hand, and jobs in every state to do them to.
#pragma once

#include "db/bulk_statements.hpp"
#include "tests/db/keyed_desk.hpp"
#include "tests/db/two_nodes.hpp"

#include <array>

namespace troupe::tests {

/// An operation on all jobs of a queue, with what its action needs.
inline bulk_request of_queue(bulk_action action, const std::string& queue = "default") {
  bulk_request what{action};
  what.filter.queue = queue;
  if (action == bulk_action::retry)
    what.filter.state = job_state::cancelled;
  if (action == bulk_action::move)
    what.to_queue = "elsewhere";
  if (action == bulk_action::reprioritise)
    what.to_priority = 7;
  return what;
}

struct bulk_desk : two_nodes {
  static constexpr std::array every_state{
      job_state::scheduled, job_state::available, job_state::running,  job_state::retryable,
      job_state::completed, job_state::cancelled, job_state::discarded};

  std::int64_t start(bulk_request what) {
    return db::decode_started_bulk(at.ask(db::start_bulk_query({std::move(what)}))).id;
  }
  bulk_preview preview(bulk_request what) {
    return db::decode_bulk_preview(at.ask(db::preview_bulk_query({std::move(what)})));
  }
  bulk_record bulk(std::int64_t id) { return db::decode_bulk(at.ask(db::bulk_query(id))).value(); }
  static stepped_bulk step(desk& by, int jobs = limits::bulk_step_jobs) {
    return db::decode_stepped(by.ask(db::step_bulk_query(jobs)));
  }
  stepped_bulk step(int jobs = limits::bulk_step_jobs) { return step(at, jobs); }
  /// Steps until nothing is left that can be done now; what became of this one.
  bulk_record finish_bulk(std::int64_t id, int jobs = limits::bulk_step_jobs) {
    while (step(jobs).id != 0)
      ;
    return bulk(id);
  }
  bulk_record all_of(bulk_request what, int jobs = limits::bulk_step_jobs) {
    return finish_bulk(start(std::move(what)), jobs);
  }
  /// What failed may be tried again at once.
  void forget_failures() const {
    database.exec("update troupe.bulk_operation set try_at = '-infinity'");
  }
  void edit(edit_job what) { at.ask(db::edit_query(what)); }

  /// A job alone in its queue, brought into a state.
  job_id in_state(job_state wanted, job_spec job) {
    if (wanted == job_state::scheduled)
      job.delay = std::chrono::hours{1};
    const auto id = at.enqueue(job);
    if (wanted == job_state::cancelled)
      at.cancel(id);
    if (wanted == job_state::available || wanted == job_state::scheduled
        || wanted == job_state::cancelled)
      return id;
    const auto lease = at.claim_one(job.queue);
    if (wanted == job_state::completed)
      at.finish(lease);
    else if (wanted == job_state::discarded)
      at.finish(lease, discarded("x"));
    else if (wanted == job_state::retryable)
      at.finish(lease, failed("x"));
    BOOST_TEST(at.state(id) == to_string(wanted));
    return id;
  }
};

} // namespace troupe::tests
