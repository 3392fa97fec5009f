// The transaction of one run: opened by its handler at first use, ended by RUNNER alone. The
// handler opens it on its own thread while RUNNER may already close it: whoever comes second sees
// the other.
#pragma once

#include "actors/work_protocol.hpp"
#include "messages/handler.hpp"

#include <caf/actor_system.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

namespace troupe {

class run_work final : public run_port {
public:
  run_work(caf::actor_system& system, std::shared_ptr<const work_peers> peers)
      : system_(&system), peers_(std::move(peers)) {}
  ~run_work() override { close(); }

  // The handler's side.
  /// Spawned at the first call.
  unit_of_work_actor unit();
  /// The session over it, whatever that is to the room above.
  std::shared_ptr<void> face;
  /// How many failures the handler has heard of; null: of none.
  std::shared_ptr<const std::atomic<std::uint64_t>> seen;

  // RUNNER's side.
  bool opened() const { return stage_.load() == stage::open; }
  /// Writes the outcome into the transaction and commits; answers on an actor's thread. Requires
  /// opened(), and that the handler has answered.
  void complete(finish_runs outcome, std::function<void(std::optional<failure>)> reply);
  /// Rolls back what is open.
  void close();

private:
  enum class stage : std::uint8_t { unused, open, closed_early, closed };

  caf::actor_system* system_;
  std::shared_ptr<const work_peers> peers_;
  unit_of_work_actor unit_;
  std::atomic<stage> stage_{stage::unused};
};

} // namespace troupe
