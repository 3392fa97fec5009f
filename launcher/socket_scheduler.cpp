#include "launcher/socket_scheduler.hpp"

#include "launcher/crew.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/policy/unprofiled.hpp>
#include <caf/scheduler/coordinator.hpp>

#include <optional>

namespace troupe {

namespace {

/// What CAF's coordinator and its workers ask of a policy.
class crew_policy : public caf::policy::unprofiled {
public:
  struct coordinator_data {
    explicit coordinator_data(caf::scheduler::abstract_coordinator*) {}
    std::optional<crew> threads;
  };
  struct worker_data : crew::member {
    explicit worker_data(caf::scheduler::abstract_coordinator*) {}
  };

  template<class Coordinator>
  void central_enqueue(Coordinator* self, caf::resumable* job) {
    d(self).threads->put(job);
  }
  template<class Worker>
  void external_enqueue(Worker* self, caf::resumable* job) {
    central_enqueue(self->parent(), job);
  }
  template<class Worker>
  void internal_enqueue(Worker* self, caf::resumable* job) {
    central_enqueue(self->parent(), job);
  }
  template<class Worker>
  void resume_job_later(Worker* self, caf::resumable* job) {
    central_enqueue(self->parent(), job);
  }
  template<class Worker>
  caf::resumable* dequeue(Worker* self) {
    return d(self->parent()).threads->take(d(self));
  }
  template<class Worker>
  void before_shutdown(Worker* self) {
    d(self->parent()).threads->leave(d(self));
  }
  template<class Worker, class Function>
  void foreach_resumable(Worker*, Function) {}
  template<class Coordinator, class Function>
  void foreach_central_resumable(Coordinator* self, Function call) {
    for (auto* job : d(self).threads->rest())
      call(job);
  }
};

} // namespace

void use_socket_scheduler(caf::actor_system_config& config, readiness& sockets) {
  config.module_factories.emplace_back(
      [&sockets](caf::actor_system& system) -> caf::actor_system::module* {
        auto made = std::make_unique<caf::scheduler::coordinator<crew_policy>>(system);
        made->data().threads.emplace(sockets);
        return made.release();
      });
}

} // namespace troupe
