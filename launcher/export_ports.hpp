// Exports of one engine: those that are streamed and those that are kept, wired to its actors, its
// kinds and its routes.
#pragma once

#include "actors/work_protocol.hpp"
#include "http/routes.hpp"
#include "messages/handler.hpp"
#include "messages/stored_export.hpp"

#include <caf/actor_system.hpp>

#include <memory>

namespace troupe {

/// Must not outlive the actor system, and has to outlive the runs and the routes.
class export_ports {
public:
  export_ports(caf::actor_system& system, const work_peers& work);
  /// The kind that makes what is kept.
  void add_to(handler_table& kinds);
  /// That kind is put in by a route of its own.
  void offer(http::services& context);

private:
  std::unique_ptr<export_port> streamed_;
  std::unique_ptr<stored_export_port> stored_;
};

} // namespace troupe
