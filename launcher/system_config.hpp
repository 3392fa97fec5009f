// How the actors of an engine run: on which threads, and how their errors are spelled.
#pragma once

#include "actors/foreign_thread.hpp"
#include "launcher/socket_scheduler.hpp"
#include "messages/type_ids.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/message.hpp>

namespace troupe {

/// Marks the threads of the actors: waiting on one of them could wait for itself.
struct mark_threads : caf::thread_hook {
  void init(caf::actor_system&) override {}
  void thread_started() override { never_blocks = "an actor's thread"; }
  void thread_terminates() override {}
};

struct system_config : caf::actor_system_config {
  system_config(std::size_t threads, readiness& sockets) {
    use_socket_scheduler(*this, sockets);
    add_thread_hook<mark_threads>();
    set("scheduler.max-threads", threads);
    set("scheduler.max-throughput", std::size_t{100});
    add_error_category(errc_category,
                       [](std::uint8_t code, caf::atom_value, const caf::message& context) {
                         return to_string(static_cast<errc>(code)) + caf::to_string(context);
                       });
  }
};

} // namespace troupe
