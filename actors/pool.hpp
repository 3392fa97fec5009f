// POOL: spreads single statements over pipelined CONNECTIONs, lends whole ones to those who need a
// transaction or a stream, and bounds how many callers may wait. Asked by STORE, CRAWL STORE and
// UNIT OF WORK. Everybody is served in the order of asking; a loan that waits for a connection to
// be idle does not hold up statements that others can take. With max_waiting callers it answers
// errc::overloaded at once; a caller who waited acquire_timeout gets errc::unavailable when no
// connection is up, errc::overloaded when all are busy.
#pragma once

#include "actors/connection.hpp"
#include "actors/pg_protocol.hpp"
#include "actors/statement.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace troupe {

struct pool_options {
  using milliseconds = std::chrono::milliseconds;

  db::connect_options connection;
  /// Who watches the connections' sockets; null: the loop.
  fd_watcher* sockets = nullptr;
  /// Connections kept when nothing is to do. Default: 2
  std::size_t min_size = 2;
  /// Connections at most; one more for a moment while one is replaced for its age. Default: 4
  std::size_t max_size = 4;
  /// Queries in flight on one connection before callers wait. Default: 64
  int in_flight_per_connection = 64;
  /// Queries in flight on every connection before another one is made. Default: 4
  int grow_at = 4;
  /// Callers that may wait. Default: 4096
  std::size_t max_waiting = 4096;
  /// How long one may. Default: 3 s
  milliseconds acquire_timeout{3000};
  /// Above min_size, a connection that is not used for so long is closed. Default: 1 min
  milliseconds idle_limit{60'000};
  /// Then a connection is replaced, 10% sooner or later, one at a time. Default: 30 min
  milliseconds max_lifetime{1'800'000};
  /// A connection that was not used for so long is tried before it serves. Default: 30 s
  milliseconds check_after{30'000};
  /// How long that trial may take. Default: 1 s
  milliseconds check_timeout{1000};
  /// A loan without a statement for so long is ended. Default: 1 min
  milliseconds max_loan{60'000};
  /// For undoing what a borrower left; then the connection is replaced. Default: 2 s
  milliseconds clean_up_limit{2000};
  /// Between tries to connect: doubled from 100 ms to 2 s, spread by a quarter.
  milliseconds reconnect_base{100};
  milliseconds reconnect_cap{2000};
  /// Null: nobody reads them.
  database_metrics* metrics = nullptr;

  /// Connections that are never lent, so that loans cannot starve single statements.
  std::size_t shared() const { return std::max<std::size_t>(1, max_size / 4); }
};

using pool_impl = pool_events_actor::extend<
    caf::reacts_to<dial_atom>,  // INTERNAL: a pause before connecting is over
    caf::reacts_to<keep_atom>,  // INTERNAL: look after ages and idleness
    caf::reacts_to<tick_atom>>; // INTERNAL: sweep callers who waited too long

/// Spawns a CONNECTION that POOL monitors; tests have their own.
using connection_maker =
    std::function<pooled_connection_actor(pool_impl::pointer, connection_config)>;
pooled_connection_actor make_connection(pool_impl::pointer pool, connection_config config);

struct pool_state {
  static inline const char* name = "pool";
  using time_point = std::chrono::steady_clock::time_point; // of the actor's clock

  enum class stage : std::uint8_t { dialing, ready, checking, lent, returning, lost };
  struct slot {
    std::uint64_t id = 0;
    std::size_t number = 0; ///< the lowest that no other has
    pooled_connection_actor connection;
    std::shared_ptr<connection_load> load;
    stage at = stage::dialing;
    bool reserved = false; ///< for a loan: gets nothing new until it is idle
    bool aged = false;     ///< serves until its replacement is up
    bool leaving = false;  ///< finishes what is in flight, then ends
    time_point used_at;    ///< dialing: since then
    time_point retire_at;
    bool shared() const { return at == stage::ready && !reserved && !leaving; }
    bool idle() const { return load->in_flight.load() == 0; }
  };
  template<class What>
  struct waiting {
    std::uint64_t turn;
    What what;
    time_point since;
  };
  struct asked_query {
    query_ptr query;
    caf::typed_response_promise<db::result> promise;
  };
  struct asked_loan {
    kept_promise<loan_ptr> promise;
  };

  pool_options options;
  io_loop* io = nullptr;
  engine_counters* counters = nullptr;
  connection_maker make;
  std::vector<slot> slots;
  std::uint64_t last_id = 0;
  std::deque<waiting<asked_query>> queries;
  std::deque<waiting<asked_loan>> loans;
  std::uint64_t last_turn = 0;
  bool sweeping = false;

  int failures = 0;         ///< to connect, in a row
  time_point dial_after;    ///< not before
  std::size_t broken = 0;   ///< connections that were up and have no replacement yet
  std::string last_failure; ///< of connecting; for the callers who wait in vain
  std::minstd_rand random{std::random_device{}()};
};

pool_impl::behavior_type pool_with(pool_impl::stateful_pointer<pool_state> self,
                                   pool_options options, io_loop* io, engine_counters* counters,
                                   connection_maker make);
pool_impl::behavior_type pool(pool_impl::stateful_pointer<pool_state> self, pool_options options,
                              io_loop* io, engine_counters* counters);

} // namespace troupe
