#include "actors/session.hpp"

#include "actors/guard.hpp"

namespace troupe {

namespace {

/// One request on its way; a visitor with one overload per question.
struct serving {
  caf::event_based_actor* self;
  api_call_ptr call;
  session_peers peers;

  /// Asks STORE, answers with the reply after `then` has looked at it.
  template<class Reply, class Ask, class Then>
  void ask(const Ask& question, Then then) const {
    self->request(peers.store, caf::infinite, question)
        .then(
            [call = call, then](Reply& reply) {
              then(std::as_const(reply));
              call->answer(std::move(reply));
            },
            [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }

  void wake(const std::string& queue) const { caf::anon_send(peers.executor, wake_atom_v, queue); }

  void operator()(const enqueue_jobs& question) const {
    self->request(peers.intake, caf::infinite, enqueue_jobs_ptr{call, &question})
        .then([call = call](enqueued_jobs& stored) { call->answer(std::move(stored)); },
              [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }
  template<class Reply, class Question>
  void look_up(const Question& question) const {
    self->request(peers.lookup, caf::infinite, question)
        .then([call = call](Reply& found) { call->answer(std::move(found)); },
              [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }
  void operator()(const get_job& question) const { look_up<job_record>(question); }
  void operator()(const list_jobs& question) const { look_up<job_page>(question); }
  void operator()(const cancel_job& question) const {
    ask<job_record>(question, [*this](const job_record& job) {
      caf::anon_send(peers.executor, cancel_atom_v, std::vector<job_id>{job.id});
    });
  }
  void operator()(const retry_job& question) const {
    ask<job_record>(question, [*this](const job_record& job) { wake(job.queue); });
  }
  void operator()(const delete_job& question) const {
    ask<deleted_job>(question, [](const deleted_job&) {});
  }
  void operator()(const edit_job& question) const {
    ask<job_record>(question, [*this](const job_record& job) {
      if (job.state == job_state::available) // what is due earlier now, the next pulse tells
        wake(job.queue);
    });
  }
  void operator()(const start_bulk& question) const {
    ask<bulk_record>(question,
                     [*this](const bulk_record&) { caf::anon_send(peers.janitor, wake_atom_v); });
  }
  void operator()(const preview_bulk& question) const {
    ask<bulk_preview>(question, [](const bulk_preview&) {});
  }
  void operator()(const get_bulk& question) const {
    ask<bulk_record>(question, [](const bulk_record&) {});
  }
  void operator()(const list_bulks& question) const {
    ask<bulk_page>(question, [](const bulk_page&) {});
  }
  void operator()(const cancel_bulk& question) const {
    ask<bulk_record>(question, [](const bulk_record&) {});
  }
  void operator()(const get_log& question) const {
    ask<log_page>(question, [](const log_page&) {});
  }
  void operator()(const watch_jobs& question) const {
    ask<job_sights>(question, [](const job_sights&) {});
  }
  void operator()(const explain_job& question) const {
    ask<job_hold>(question, [](const job_hold&) {});
  }
  void operator()(const get_queue& question) const {
    ask<queue_record>(question, [](const queue_record&) {});
  }
  void operator()(const list_queues& question) const {
    ask<queue_page>(question, [](const queue_page&) {});
  }
  void operator()(const get_node& question) const {
    ask<node_record>(question, [](const node_record&) {});
  }
  void operator()(const list_nodes& question) const {
    ask<node_page>(question, [](const node_page&) {});
  }
  void operator()(const drain_node& question) const { // the node is told by the database
    ask<node_record>(question, [](const node_record&) {});
  }
  void operator()(const get_retention& question) const {
    ask<retention_record>(question, [](const retention_record&) {});
  }
  void operator()(const change_ages& question) const {
    ask<job_ages>(question, [](const job_ages&) {});
  }
  void operator()(const forget_ages& question) const {
    ask<job_ages>(question, [](const job_ages&) {});
  }
  void operator()(const ask_doctor& question) const {
    self->request(peers.doctor, caf::infinite, question)
        .then([call = call](doctor_report& report) { call->answer(std::move(report)); },
              [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }
  void operator()(const get_counts& question) const {
    ask<counts_page>(question, [](const counts_page&) {});
  }
  void operator()(const pause_queue& question) const {
    ask<queue_record>(question, [*this](const queue_record& queue) {
      if (queue.paused_at)
        caf::anon_send(peers.executor, halt_atom_v, queue.name);
      else
        wake(queue.name);
    });
  }
  void operator()(const find_token& question) const {
    ask<found_token>(question, [](const found_token&) {});
  }
  void operator()(const create_token& question) const {
    ask<token_record>(question, [](const token_record&) {});
  }
  void operator()(const list_tokens& question) const {
    ask<token_page>(question, [](const token_page&) {});
  }
  void operator()(const revoke_token& question) const {
    // The other nodes are told by the database; without NOTIFIER this one would not be.
    ask<token_record>(
        question, [counters = peers.counters](const token_record&) { ++counters->token_changes; });
  }
  void operator()(const list_audit& question) const {
    ask<audit_page>(question, [](const audit_page&) {});
  }
  /// The same of WORK STORE.
  template<class Reply, class Ask, class Then>
  void ask_of_work(const Ask& question, Then then) const {
    self->request(peers.work, caf::infinite, question)
        .then(
            [call = call, then](Reply& reply) {
              then(std::as_const(reply));
              call->answer(std::move(reply));
            },
            [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }
  void carry_on(const work_effects& what) const {
    if (what.next_due)
      caf::anon_send(peers.scheduler, due_atom_v, caf::timespan{*what.next_due});
    for (const auto& queue : what.steered)
      wake(queue);
  }
  void operator()(const join_worker& question) const {
    ask_of_work<joined_worker>(question, [](const joined_worker&) {});
  }
  void operator()(const claim_work& question) const {
    self->request(peers.dispatcher, caf::infinite, question)
        .then([call = call](claimed_work& got) { call->answer(std::move(got)); },
              [call = call](caf::error& error) { call->answer(to_failure(error)); });
  }
  void operator()(const finish_work& question) const {
    ask_of_work<finished_work>(question,
                               [*this](const finished_work& done) { carry_on(done.effects); });
  }
  void operator()(const beat_worker& question) const {
    ask_of_work<work_pulse>(question, [*this](const work_pulse& now) { carry_on(now.effects); });
  }
  void operator()(const report_work& question) const {
    ask_of_work<reported_work>(question, [](const reported_work&) {});
  }
  void operator()(const leave_worker& question) const {
    ask_of_work<left_worker>(question,
                             [*this](const left_worker& left) { carry_on(left.effects); });
  }
  void operator()(const steer_worker& question) const {
    ask_of_work<steered_worker>(question, [](const steered_worker&) {});
  }
  void operator()(const limit_queue& question) const {
    ask<queue_record>(question, [*this](const queue_record& queue) { wake(queue.name); });
  }
};

} // namespace

void serve_request(caf::event_based_actor* self, const api_call_ptr& call, session_peers peers) {
  self->attach_functor([counters = peers.counters] { --counters->requests_in_flight; });
  // The callbacks keep the call, and with it the request they refer to, alive.
  std::visit(serving{self, call, std::move(peers)}, call->request());
}

} // namespace troupe
