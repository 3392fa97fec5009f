#include "actors/cast.hpp"

#include "actors/crawl_store.hpp"
#include "actors/janitor.hpp"
#include "actors/logbook.hpp"
#include "actors/scheduler.hpp"
#include "actors/store.hpp"
#include "actors/work_desk.hpp"
#include "actors/work_store.hpp"

namespace troupe {

namespace {

root_actor::behavior_type root(root_actor::pointer self, const cast& all, const pool_actor& pool,
                               const health_monitor_actor& monitor) {
  self->link_to(pool);
  self->link_to(all.store);
  self->link_to(all.crawls);
  self->link_to(all.recorder);
  self->link_to(all.executor);
  self->link_to(all.scheduler);
  self->link_to(all.janitor);
  self->link_to(all.intake);
  self->link_to(all.lookup);
  self->link_to(all.work_store);
  self->link_to(all.dispatcher);
  self->link_to(all.doctor);
  self->link_to(all.gate);
  self->link_to(all.work->desk);
  self->link_to(all.work->logbook);
  self->link_to(monitor);
  return {[self](const pulse_actor& pulse) { self->link_to(pulse); },
          [self](const notifier_actor& notifier) { self->link_to(notifier); }};
}

} // namespace

cast spawn_cast(caf::actor_system& system, const cast_options& options, io_loop& io,
                engine_counters& counters, std::shared_ptr<health_board> board) {
  cast all;
  const lending_pool_actor connections = system.spawn(pool, options.pool, &io, &counters);
  all.store = system.spawn(store, connections);
  all.crawls = system.spawn(crawl_store, connections);
  const auto work = std::make_shared<work_peers>();
  all.work = work;
  auto running = options.executor;
  running.work = work;
  all.executor = system.spawn(executor, running, all.store, &counters);
  all.recorder = system.spawn(recorder, all.crawls, all.executor);
  all.scheduler = system.spawn(scheduler, all.store, all.executor, &counters);
  caf::anon_send(all.executor, all.scheduler);
  *work = {connections,
           all.executor,
           all.scheduler,
           system.spawn(work_desk),
           system.spawn(logbook, all.store, &counters),
           &counters,
           options.pool.metrics,
           options.spans};
  all.janitor = system.spawn(janitor, all.store, all.executor, &counters);
  all.intake = system.spawn(intake, options.intake,
                            intake_peers{all.store, all.executor, all.scheduler, &counters});
  caf::anon_send(all.executor, all.intake);
  all.lookup = system.spawn(lookup, options.lookup, all.store);
  all.work_store = system.spawn(work_store, connections);
  all.dispatcher = system.spawn(dispatcher, options.dispatcher, all.work_store, all.executor);
  all.doctor = system.spawn(doctor, connections, options.pool.max_size);
  all.gate = system.spawn(gate, options.gate,
                          session_peers{all.intake, all.store, all.lookup, all.executor,
                                        all.janitor, &counters, all.work_store, all.dispatcher,
                                        all.scheduler, all.doctor});
  const health_monitor_actor monitor = system.spawn(
      health_monitor, options.health, all.store, &counters, options.pool.metrics, std::move(board));
  all.root = system.spawn(root, all, connections, monitor);
  return all;
}

void begin(caf::actor_system& system, cast& all, const cast_options& options, io_loop& io,
           handler_table_ptr handlers, engine_counters& counters) {
  auto node = options.pulse;
  for (const auto& [kind, handler] : *handlers)
    node.kinds.push_back(kind);
  caf::anon_send(all.executor, std::move(handlers));
  node.queues = options.executor.queues;
  node.default_slots = options.executor.default_slots;
  all.pulse = system.spawn(pulse_of_node, node, all.store, all.executor, all.scheduler, all.janitor,
                           &counters);
  caf::anon_send(all.root, all.pulse);
  if (!options.notifier)
    return;
  all.notifier =
      system.spawn(notifier, *options.notifier,
                   notifier_peers{all.executor, all.scheduler, all.pulse}, &io, &counters);
  caf::anon_send(all.dispatcher, all.notifier);
  caf::anon_send(all.root, all.notifier);
}

} // namespace troupe
