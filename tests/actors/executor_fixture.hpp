// EXECUTOR over a STORE double, with handlers that end when the test says so.
#pragma once

#include "actors/executor.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <set>

namespace troupe::tests {

struct executor_system : store_system {
  std::vector<std::pair<job_run_ptr, completion>> started; ///< in order; all that were ever started
  std::size_t ended_runs = 0;
  std::shared_ptr<std::vector<caf::timespan>> dues = std::make_shared<std::vector<caf::timespan>>();
  executor_impl executor_itself;
  std::vector<lease_id> closed_leases;
  bool drained = false;

  explicit executor_system(int prefetch = queue_slots::max_prefetch,
                           std::shared_ptr<const work_peers> work = nullptr) {
    executor_options options;
    options.queues = {{"none", 0}};
    options.default_slots = 4;
    options.prefetch = prefetch;
    options.work = std::move(work);
    executor_itself = spawn(executor, options, store, &counters);
    const scheduler_actor scheduler = spawn(scheduler_double, dues);
    caf::anon_send(executor_itself, scheduler);
    handler_table handlers;
    handlers["hold"] = [this](job_run_ptr run, completion done) {
      started.emplace_back(run, done);
    };
    handlers["fragile"] = {handlers["hold"].start, {.retry = retry_policy::none()}};
    handlers["brief"] = {handlers["hold"].start,
                         {.retry = retry_policy::fixed(std::chrono::seconds{3}),
                          .timeout = std::chrono::milliseconds{100}}};
    caf::anon_send(executor_itself, std::make_shared<const handler_table>(std::move(handlers)));
    run();
  }
  ~executor_system() { started.clear(); }

  void join(node_id node = node_id{1}) {
    caf::anon_send(executor_itself, node);
    run();
  }
  void wake(const std::string& queue) {
    caf::anon_send(executor_itself, wake_atom_v, queue);
    run();
  }
  void cancel(std::vector<job_id> ids) {
    caf::anon_send(executor_itself, cancel_atom_v, std::move(ids));
    run();
  }
  void told_leases(std::vector<lease_id> held) {
    caf::anon_send(executor_itself, std::move(held));
    run();
  }
  void drain() {
    auto* flag = &drained;
    spawn([executor = executor_actor{executor_itself}, flag](caf::event_based_actor* self) {
      self->request(executor, caf::infinite, drain_atom_v).then([flag] { *flag = true; });
    });
    run();
  }
  /// As PULSE, when an operator drains the node.
  void be_quiet(bool quiet = true) {
    caf::anon_send(executor_itself, drain_atom_v, quiet);
    run();
  }
  static claimed_jobs batch(lease_id lease, int count, std::int64_t first = 0) {
    claimed_jobs given;
    given.lease = lease;
    for (int i = 0; i < count; ++i) {
      auto run = std::make_shared<job_run>();
      run->id = job_id{(first ? first : lease.value * 100) + i};
      run->queue = "q";
      run->kind = "hold";
      given.jobs.push_back(std::move(run));
    }
    return given;
  }
  static claimed_jobs batch_of(const std::string& kind, lease_id lease, int count) {
    auto given = batch(lease, count);
    for (auto& one : given.jobs)
      one->kind = kind;
    return given;
  }
  /// As batch, but of jobs that were lost before.
  static claimed_jobs lost_batch(lease_id lease, int count, int losses) {
    auto given = batch(lease, count);
    for (auto& one : given.jobs)
      one->losses = losses;
    return given;
  }
  /// Joined and given the batch; no claim is open.
  void take(claimed_jobs given) {
    join();
    wake("q");
    answer(in->claims, std::move(given));
    while (!in->claims.empty())
      answer(in->claims, claimed_jobs{});
  }
  /// Joined, and `count` jobs of one lease in hand; no claim is open.
  void take(lease_id lease, int count) { take(batch(lease, count)); }
  void finish(std::size_t which, job_result result = completed()) {
    BOOST_REQUIRE(which < started.size());
    started[which].second(std::move(result));
    run();
  }
  /// Completes what runs, and what starts then.
  void finish_until_idle() {
    for (; ended_runs < started.size(); ++ended_runs)
      finish(ended_runs);
  }
  void finish_all() { finish_until_idle(); }
  void answer_writes() {
    while (!in->finishes.empty()) {
      const auto& done = in->finishes.front().done;
      closed_leases.insert(closed_leases.end(), done.begin(), done.end());
      answer(in->finishes, finished_runs{});
    }
  }
};

} // namespace troupe::tests
