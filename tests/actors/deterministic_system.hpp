// One actor system on one thread with virtual time, for tests: actors run only inside run(), timers
// fire only inside advance(). Doubles of STORE and of the actors that are only told things.
#pragma once

#include "actors/job_report.hpp"
#include "messages/counters.hpp"
#include "messages/interfaces.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <deque>
#include <memory>
#include <random>

namespace troupe::tests {
/// Something to do inside an actor.
using act = std::shared_ptr<std::function<void()>>;
} // namespace troupe::tests

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::tests::act)

namespace troupe::tests {

class deterministic_system {
public:
  deterministic_system() {
    sched().clock().current_time += std::chrono::hours(1); // no time point is the epoch
  }
  deterministic_system(const deterministic_system&) = delete;
  deterministic_system& operator=(const deterministic_system&) = delete;
  ~deterministic_system() {
    for (auto& one : owned_)
      caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
    owned_.clear();
    run();
    sys.await_actors_before_shutdown(
        false); // an actor that leaked fails a test, it does not hang it
  }

  /// Spawned so, the actor ends with the test.
  template<class F, class... Ts>
  auto spawn(F f, Ts&&... args) {
    auto one = sys.spawn(f, std::forward<Ts>(args)...);
    owned_.push_back(caf::actor_cast<caf::strong_actor_ptr>(one));
    return one;
  }
  caf::scheduler::test_coordinator& sched() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler());
  }
  void run() {
    while (sched().try_run_once()) {
    }
  }
  /// Runs the actors in a random order, message by message.
  void run_random(std::mt19937& random) {
    auto& jobs = sched().jobs;
    while (!jobs.empty()) {
      std::swap(jobs.front(), jobs[random() % jobs.size()]);
      sched().try_run_once();
    }
  }
  void advance(caf::timespan time, caf::timespan step = std::chrono::milliseconds(10)) {
    run();
    while (time.count() > 0) {
      const auto part = std::min(time, step);
      sched().advance_time(part);
      run();
      time -= part;
    }
  }
  /// True when the actor has ended.
  template<class Actor>
  bool ended(const Actor& one) {
    return caf::actor_cast<caf::abstract_actor*>(one)->getf(
        caf::abstract_actor::is_terminated_flag);
  }
  template<class State, class Impl, class Actor>
  State& state_of(const Actor& one) {
    using base = typename Impl::template stateful_base<State>;
    return dynamic_cast<base&>(*caf::actor_cast<caf::abstract_actor*>(one)).state;
  }

private:
  struct config : caf::actor_system_config {
    config() { set("scheduler.policy", caf::atom("testing")); }
  };
  config config_;
  std::vector<caf::strong_actor_ptr> owned_;

public:
  caf::actor_system sys{config_};
};

/// Questions that wait for the test's answer, oldest first.
template<class Ask, class Reply>
struct inbox {
  using reply = Reply;
  using promise = std::conditional_t<std::is_void_v<Reply>, caf::response_promise,
                                     caf::typed_response_promise<Reply>>;
  struct question {
    Ask ask;
    promise answer;
  };
  std::deque<question> waiting;
  int seen = 0;

  bool empty() const { return waiting.empty(); }
  std::size_t size() const { return waiting.size(); }
  const Ask& front() const {
    BOOST_REQUIRE(!waiting.empty());
    return waiting.front().ask;
  }
};

/// Keeps the question until the test answers it.
template<class Self, class Ask, class Reply>
caf::result<Reply> kept(Self self, inbox<Ask, Reply>& into, const Ask& ask) {
  auto given = self->template make_response_promise<typename inbox<Ask, Reply>::promise>();
  into.waiting.push_back({ask, given});
  ++into.seen;
  return {given};
}

/// What STORE was asked and has not answered.
struct store_inboxes {
  inbox<enqueue_jobs_ptr, enqueued_jobs> enqueues;
  inbox<get_job, job_record> gets;
  inbox<get_jobs, found_jobs> several_gets;
  inbox<list_jobs, job_page> lists;
  inbox<cancel_job, job_record> cancels;
  inbox<retry_job, job_record> retries;
  inbox<delete_job, deleted_job> deletes;
  inbox<edit_job, job_record> edits;
  inbox<start_bulk, bulk_record> bulk_starts;
  inbox<preview_bulk, bulk_preview> bulk_previews;
  inbox<get_bulk, bulk_record> bulk_gets;
  inbox<list_bulks, bulk_page> bulk_lists;
  inbox<cancel_bulk, bulk_record> bulk_cancels;
  inbox<step_bulk, stepped_bulk> steps;
  inbox<get_log, log_page> logs;
  inbox<watch_jobs, job_sights> watches;
  inbox<explain_job, job_hold> explanations;
  inbox<get_queue, queue_record> queue_gets;
  inbox<list_queues, queue_page> queue_lists;
  inbox<get_counts, counts_page> counts;
  inbox<pause_queue, queue_record> pauses;
  inbox<limit_queue, queue_record> limits;
  inbox<get_node, node_record> node_gets;
  inbox<list_nodes, node_page> node_lists;
  inbox<drain_node, node_record> node_drains;
  inbox<get_retention, retention_record> retentions;
  inbox<change_ages, job_ages> age_changes;
  inbox<forget_ages, job_ages> forgotten_ages;
  inbox<find_token, found_token> token_finds;
  inbox<create_token, token_record> token_creations;
  inbox<list_tokens, token_page> token_lists;
  inbox<revoke_token, token_record> token_revocations;
  inbox<list_audit, audit_page> audit_lists;
  inbox<join_node, node_id> joins;
  inbox<leave_node, void> leaves;
  inbox<beat, pulse> beats;
  inbox<claim_jobs, claimed_jobs> claims;
  inbox<enqueue_here, enqueued_here> here;
  inbox<adopt_lease, claimed_jobs> adoptions;
  inbox<start_run, bool> starts;
  inbox<finish_runs, finished_runs> finishes;
  inbox<record_reports, recorded_reports> reports;
  inbox<promote_due, promoted_jobs> promotions;
  inbox<rescue_node, rescued_jobs> rescues;
  inbox<upkeep, upkept> upkeeps;
  inbox<measure_database, database_measures> measures;
  inbox<expire_jobs, expired_jobs> expiries;
  inbox<probe_database, database_probe> probes;
};

using store_double_impl = store_actor::extend<caf::reacts_to<act>>;

inline store_double_impl::behavior_type store_double(store_double_impl::pointer self,
                                                     std::shared_ptr<store_inboxes> in) {
  const auto keep = [self](auto& into, const auto& ask) { return kept(self, into, ask); };
  return {
      [=](const enqueue_jobs_ptr& ask) { return keep(in->enqueues, ask); },
      [=](const get_job& ask) { return keep(in->gets, ask); },
      [=](const get_jobs& ask) { return keep(in->several_gets, ask); },
      [=](const list_jobs& ask) { return keep(in->lists, ask); },
      [=](const cancel_job& ask) { return keep(in->cancels, ask); },
      [=](const retry_job& ask) { return keep(in->retries, ask); },
      [=](const delete_job& ask) { return keep(in->deletes, ask); },
      [=](const edit_job& ask) { return keep(in->edits, ask); },
      [=](const start_bulk& ask) { return keep(in->bulk_starts, ask); },
      [=](const preview_bulk& ask) { return keep(in->bulk_previews, ask); },
      [=](const get_bulk& ask) { return keep(in->bulk_gets, ask); },
      [=](const list_bulks& ask) { return keep(in->bulk_lists, ask); },
      [=](const cancel_bulk& ask) { return keep(in->bulk_cancels, ask); },
      [=](const step_bulk& ask) { return keep(in->steps, ask); },
      [=](const get_log& ask) { return keep(in->logs, ask); },
      [=](const watch_jobs& ask) { return keep(in->watches, ask); },
      [=](const explain_job& ask) { return keep(in->explanations, ask); },
      [=](const get_queue& ask) { return keep(in->queue_gets, ask); },
      [=](const list_queues& ask) { return keep(in->queue_lists, ask); },
      [=](const get_counts& ask) { return keep(in->counts, ask); },
      [=](const pause_queue& ask) { return keep(in->pauses, ask); },
      [=](const limit_queue& ask) { return keep(in->limits, ask); },
      [=](const get_node& ask) { return keep(in->node_gets, ask); },
      [=](const list_nodes& ask) { return keep(in->node_lists, ask); },
      [=](const drain_node& ask) { return keep(in->node_drains, ask); },
      [=](const get_retention& ask) { return keep(in->retentions, ask); },
      [=](const change_ages& ask) { return keep(in->age_changes, ask); },
      [=](const forget_ages& ask) { return keep(in->forgotten_ages, ask); },
      [=](const find_token& ask) { return keep(in->token_finds, ask); },
      [=](const create_token& ask) { return keep(in->token_creations, ask); },
      [=](const list_tokens& ask) { return keep(in->token_lists, ask); },
      [=](const revoke_token& ask) { return keep(in->token_revocations, ask); },
      [=](const list_audit& ask) { return keep(in->audit_lists, ask); },
      [=](const join_node& ask) { return keep(in->joins, ask); },
      [=](const leave_node& ask) { return keep(in->leaves, ask); },
      [=](const beat& ask) { return keep(in->beats, ask); },
      [=](const claim_jobs& ask) { return keep(in->claims, ask); },
      [=](const enqueue_here& ask) { return keep(in->here, ask); },
      [=](const adopt_lease& ask) { return keep(in->adoptions, ask); },
      [=](const start_run& ask) { return keep(in->starts, ask); },
      [=](const finish_runs& ask) { return keep(in->finishes, ask); },
      [=](const record_reports& ask) { return keep(in->reports, ask); },
      [=](const promote_due& ask) { return keep(in->promotions, ask); },
      [=](const rescue_node& ask) { return keep(in->rescues, ask); },
      [=](const measure_database& ask) { return keep(in->measures, ask); },
      [=](const upkeep& ask) { return keep(in->upkeeps, ask); },
      [=](const expire_jobs& ask) { return keep(in->expiries, ask); },
      [=](const probe_database& ask) { return keep(in->probes, ask); },
      [](const act& what) { (*what)(); },
  };
}

/// A system with a STORE that the test answers for.
struct store_system : deterministic_system {
  std::shared_ptr<store_inboxes> in = std::make_shared<store_inboxes>();
  store_double_impl store_itself = spawn(store_double, in);
  store_actor store = store_itself;
  engine_counters counters;

  /// By the actor that was asked: a promise is its own.
  template<class Double>
  static void inside(const Double& asked, std::function<void()> what) {
    caf::anon_send(asked, std::make_shared<std::function<void()>>(std::move(what)));
  }
  void inside(std::function<void()> what) { inside(store_itself, std::move(what)); }
  /// Takes the oldest question and answers it; without run().
  template<class Ask, class Reply, class Answer>
  void give(inbox<Ask, Reply>& from, Answer answer) {
    BOOST_REQUIRE(!from.empty());
    auto promise = std::move(from.waiting.front().answer);
    from.waiting.pop_front();
    inside([promise, answer]() mutable { promise.deliver(answer); });
  }
  template<class Ask, class Reply, class Answer>
  void answer(inbox<Ask, Reply>& from, Answer what) {
    give(from, std::move(what));
    run();
  }
  template<class Ask, class Reply>
  void refuse(inbox<Ask, Reply>& from, errc code, const std::string& why = "refused") {
    answer(from, make_error(code, why));
  }
};

/// Who was told what, for actors that only listen.
struct executor_notes {
  std::vector<std::string> wakes;
  std::vector<std::string> pauses;
  std::vector<std::vector<permit_cap>> caps;
  std::vector<job_id> cancels;
  std::vector<node_id> nodes;
  std::vector<std::vector<lease_id>> leases;
  std::vector<bool> drains;
  std::vector<std::string> awaited;               ///< whose next wake DISPATCHER wants
  inbox<enqueue_jobs_ptr, enqueued_jobs> brought; ///< to be started at once
};

using executor_double_impl = executor_actor::extend<caf::reacts_to<act>>;

inline executor_double_impl::behavior_type executor_double(executor_double_impl::pointer self,
                                                           std::shared_ptr<executor_notes> notes) {
  return {
      [=](wake_atom, const std::string& queue) { notes->wakes.push_back(queue); },
      [=](halt_atom, const std::string& queue) { notes->pauses.push_back(queue); },
      [=](const std::vector<permit_cap>& caps) { notes->caps.push_back(caps); },
      [=](cancel_atom, const std::vector<job_id>& ids) {
        notes->cancels.insert(notes->cancels.end(), ids.begin(), ids.end());
      },
      [=](node_id node) { notes->nodes.push_back(node); },
      [=](const std::vector<lease_id>& held) { notes->leases.push_back(held); },
      [self](drain_atom) { static_cast<void>(self); },
      [=](drain_atom, bool quiet) { notes->drains.push_back(quiet); },
      [](halt_atom) {},
      [](const scheduler_actor&) {},
      [](const intake_actor&) {},
      [](const notifier_actor&) {},
      [=](const woken_actor&, const std::string& queue) { notes->awaited.push_back(queue); },
      [=](const enqueue_jobs_ptr& asked) { return kept(self, notes->brought, asked); },
      [](const handler_table_ptr&) {},
      [](const act& what) { (*what)(); },
  };
}

inline scheduler_actor::behavior_type
scheduler_double(scheduler_actor::pointer, std::shared_ptr<std::vector<caf::timespan>> dues) {
  return {[=](due_atom, caf::timespan delay) { dues->push_back(delay); }};
}

inline janitor_actor::behavior_type janitor_double(janitor_actor::pointer,
                                                   std::shared_ptr<std::vector<node_id>> dead) {
  return {[=](node_id node) { dead->push_back(node); },
          [=](wake_atom) { dead->push_back(node_id{0}); }}; // there is an operation to go on with
}

/// And with an EXECUTOR and a SCHEDULER that only listen.
struct listening_system : store_system {
  std::shared_ptr<executor_notes> notes = std::make_shared<executor_notes>();
  std::shared_ptr<std::vector<caf::timespan>> dues = std::make_shared<std::vector<caf::timespan>>();
  executor_double_impl executor_itself = spawn(executor_double, notes);
  executor_actor told_executor = executor_itself;
  scheduler_actor told_scheduler = spawn(scheduler_double, dues);
  /// Whom JANITOR was told of: dead nodes, and 0 for an operation on many jobs.
  std::shared_ptr<std::vector<node_id>> chores = std::make_shared<std::vector<node_id>>();
  janitor_actor told_janitor = spawn(janitor_double, chores);

  /// As answer, to what INTAKE brought.
  template<class Answer>
  void answer_brought(Answer what) {
    BOOST_REQUIRE(!notes->brought.empty());
    auto promise = std::move(notes->brought.waiting.front().answer);
    notes->brought.waiting.pop_front();
    inside(executor_itself, [promise, what]() mutable { promise.deliver(what); });
    run();
  }
};

} // namespace troupe::tests
