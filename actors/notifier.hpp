// NOTIFIER: owns one connection that LISTENs, beside POOL's, and tells EXECUTOR, SCHEDULER and
// PULSE what it hears, and counts revocations of tokens. Sleeps for this node on the queues that
// EXECUTOR found empty. After each connect all of them look at everything once, for nobody knows
// what was told meanwhile. Nothing depends on it: what it does not hear comes with the next
// heartbeat.
//
//    dialing --up--> beginning --listens--> listening --lost or refused--> (pause) --> dialing
//
// Bound: sleep_book::max_queues queues; one request about sleeping at a time.
#pragma once

#include "actors/connection.hpp"
#include "actors/pg_protocol.hpp"
#include "actors/pulse.hpp"
#include "actors/sleep_book.hpp"
#include "messages/counters.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <optional>
#include <random>

namespace troupe {

struct notifier_options {
  using milliseconds = std::chrono::milliseconds;

  db::connect_options connection;
  /// Who watches the connection's socket; null: the loop.
  fd_watcher* sockets = nullptr;
  database_metrics* metrics = nullptr;
  /// Between tries to connect; as POOL's.
  milliseconds reconnect_base{100};
  milliseconds reconnect_cap{2000};
  /// A connection that says nothing for so long is tried, or its loss would go unnoticed.
  milliseconds check_interval{10'000};
};

struct notifier_peers {
  executor_actor executor;
  scheduler_actor scheduler;
  pulse_actor pulse;
};

using notifier_impl = notifier_actor::extend<
    caf::replies_to<query_ptr>::with<db::result>, // CONNECTION: a query that it did not send
    caf::reacts_to<up_atom, std::uint64_t>,       // CONNECTION
    caf::reacts_to<room_atom>,                    // CONNECTION
    caf::reacts_to<lost_atom, std::uint64_t, caf::error>, // CONNECTION
    caf::reacts_to<db::notification>,                     // CONNECTION
    caf::reacts_to<dial_atom>,                            // INTERNAL: connect
    caf::reacts_to<keep_atom, std::uint64_t>,             // INTERNAL: try connection N
    caf::reacts_to<tick_atom, std::uint64_t>>;            // INTERNAL: timer N of the sleep book

/// Spawns a CONNECTION that NOTIFIER monitors; tests have their own.
using listening_maker =
    std::function<pooled_connection_actor(notifier_impl::pointer, connection_config)>;

struct notifier_state {
  static inline const char* name = "notifier";

  notifier_options options;
  notifier_peers peers;
  io_loop* io = nullptr;
  engine_counters* counters = nullptr;
  listening_maker make;
  pooled_connection_actor connection; ///< null in a pause
  std::shared_ptr<connection_load> load;
  std::uint64_t id = 0; ///< of the connection; what others say is old
  bool listening = false;
  int failures = 0; ///< to listen, in a row
  sleep_book book;
  bool asking = false;     ///< a request about sleeping is on its way
  std::uint64_t timer = 0; ///< the armed one; older ones are ignored when they fire
  std::optional<sleep_book::time_point> armed_for;
  std::minstd_rand random{std::random_device{}()};
};

notifier_impl::behavior_type notifier_with(notifier_impl::stateful_pointer<notifier_state> self,
                                           notifier_options options, notifier_peers peers,
                                           io_loop* io, engine_counters* counters,
                                           listening_maker make);
notifier_impl::behavior_type notifier(notifier_impl::stateful_pointer<notifier_state> self,
                                      notifier_options options, notifier_peers peers, io_loop* io,
                                      engine_counters* counters);

} // namespace troupe
