// CONNECTION: owns one pipelined libpq connection and moves its bytes when the loop says so.
// Spawned by POOL, asked by POOL on behalf of STORE; ends when the connection breaks.
//
//    connecting --up--> ready --lost, silent or failed--> (ends)
//         \-----------failed or too late------------------/
//
// Bound: db::connection's in-flight limit. A connection that stays silent longer than its oldest
// query may take is given up: the server is frozen or the network swallows packets.
#pragma once

#include "actors/pg_protocol.hpp"
#include "db/connecting.hpp"
#include "messages/counters.hpp"
#include "messages/io_loop.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace troupe {

/// Self-messages: INTERNAL.
using connection_impl =
    connection_actor::extend<caf::reacts_to<dial_atom>,  // go on connecting
                             caf::reacts_to<read_atom>,  // the socket is readable
                             caf::reacts_to<write_atom>, // the socket is writable
                             caf::reacts_to<flush_atom>, // send what was submitted since
                             caf::reacts_to<tick_atom>>; // look for silence

struct connection_config {
  db::connect_options options;
  io_loop* io = nullptr;
  engine_counters* counters = nullptr;
  std::shared_ptr<connection_load> load;
  std::size_t slot = 0;
  pool_events_actor pool;
};

struct connection_state {
  static inline const char* name = "connection";
  struct open_query {
    caf::typed_response_promise<db::result> promise;
    std::chrono::steady_clock::time_point asked_at; // of the actor's clock
  };

  connection_config config;
  std::optional<db::connecting> dialing;
  std::optional<db::connection> link;
  std::unique_ptr<fd_watch> watch;
  std::unordered_map<std::uint64_t, open_query> open; ///< by db::connection's token
  std::chrono::steady_clock::time_point heard_at;     ///< the last answer; of the actor's clock
  bool flush_sent = false;
};

connection_impl::behavior_type connection(connection_impl::stateful_pointer<connection_state> self,
                                          connection_config config);

} // namespace troupe
