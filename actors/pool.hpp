// POOL: spreads single statements over pipelined CONNECTIONs and bounds how many callers may wait.
// Asked by STORE and CRAWL STORE. Spawns CONNECTIONs, replaces broken ones with jittered backoff.
// With max_waiting callers it answers errc::overloaded at once; a caller who waited acquire_timeout
// gets errc::unavailable when no connection is up, errc::overloaded when all are full.
#pragma once

#include "actors/connection.hpp"
#include "actors/pg_protocol.hpp"

#include <caf/stateful_actor.hpp>

#include <deque>
#include <random>
#include <vector>

namespace troupe {

struct pool_options {
  db::connect_options connection;
  /// Pipelined connections serve many callers each; PostgreSQL's own processes are what costs.
  std::size_t size = 4;
  /// Queries in flight on one connection before callers wait. Default: 64
  int in_flight_per_connection = 64;
  /// Callers that may wait. Default: 4096
  std::size_t max_waiting = 4096;
  /// How long one may. Default: 3 s
  std::chrono::milliseconds acquire_timeout{3000};
  /// Between tries to connect: doubled from 100 ms to 5 s.
  std::chrono::milliseconds reconnect_base{100};
  std::chrono::milliseconds reconnect_cap{5000};
};

using pool_impl = pool_events_actor::extend<
    caf::reacts_to<dial_atom, std::size_t>, // INTERNAL: spawn this slot's connection now
    caf::reacts_to<tick_atom>>;             // INTERNAL: sweep callers who waited too long

struct pool_state {
  static inline const char* name = "pool";
  struct slot {
    connection_actor connection;
    std::shared_ptr<connection_load> load;
    bool ready = false;
    int failures = 0; ///< in a row
  };
  struct waiting {
    query_ptr query;
    caf::typed_response_promise<db::result> promise;
    std::chrono::steady_clock::time_point until;
  };

  pool_options options;
  io_loop* io = nullptr;
  engine_counters* counters = nullptr;
  std::vector<slot> slots;
  std::deque<waiting> queue;
  std::minstd_rand random{std::random_device{}()};
  bool sweeping = false;
  std::string last_failure; ///< of connecting; for the callers who wait in vain
};

pool_impl::behavior_type pool(pool_impl::stateful_pointer<pool_state> self, pool_options options,
                              io_loop* io, engine_counters* counters);

} // namespace troupe
