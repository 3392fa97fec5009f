// Behind a session: its UNIT OF WORK and what its caller knows of it. Private to the launcher.
#pragma once

#include "actors/work_protocol.hpp"
#include "launcher/session.hpp"
#include "messages/io_loop.hpp"

#include <caf/actor_system.hpp>

#include <atomic>

namespace troupe {

struct session::core {
  /// What answers tell; outlives the session while calls are on their way.
  struct knowledge {
    std::atomic<std::uint64_t> failures{0};
    std::atomic<errc> first_failure{errc::none};
    std::atomic<bool> committed{false};
  };

  explicit core(unit_of_work_actor to) : unit(std::move(to)) {}
  core(const core&) = delete;
  core& operator=(const core&) = delete;
  ~core();

  using outcome = std::variant<failure, db::work_reply>;

  /// Asks; the answer goes through `read` before it counts as a failure or not.
  void send(db::work_request request, std::function<void(outcome)> then,
            std::function<outcome(outcome)> read = {});
  template<class T>
  pending<T> ask(db::work_request request);

  unit_of_work_actor unit;
  std::shared_ptr<knowledge> known = std::make_shared<knowledge>();
  std::uint64_t copies = 0; ///< opened so far
};

struct session_access {
  using core = session::core;
  static session over(std::shared_ptr<core> made) { return session{std::move(made)}; }
};

/// Spawns a UNIT OF WORK for each session, on any thread. Must not outlive the system and the loop.
std::unique_ptr<session_source> make_session_source(caf::actor_system& system, work_peers peers,
                                                    io_loop& loop);

} // namespace troupe
