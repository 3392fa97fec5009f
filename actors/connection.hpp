// CONNECTION: owns one pipelined libpq connection and moves its bytes when the socket lets it.
// Spawned by POOL, asked by POOL on behalf of STORE, and by the borrower while it is lent; ends
// when POOL, or its borrower, knows that the connection broke.
//
//    connecting --up--> ready --lost, silent or failed--> broken: hands back to POOL what it had
//         \               \                                sent meanwhile, until POOL ends it
//          \               \--lend--> lent --return--> cleaning --> ready
//           \                           \--lost--> broken: tells its borrower why, while lent
//            \--failed or too late--> (ends)
//
// Bound: db::connection's in-flight limit; of a COPY one chunk out, one put in. A connection that
// stays silent longer than two of its statements may take is given up: the server is frozen or the
// network swallows packets.
#pragma once

#include "actors/pg_protocol.hpp"
#include "db/connecting.hpp"
#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"
#include "messages/io_loop.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace troupe {

/// The loop's answer to a lookup.
struct named_resolution {
  std::string name;
  resolution what;
};
using found_name = std::shared_ptr<const named_resolution>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::found_name)

namespace troupe {

/// Self-messages: INTERNAL.
using connection_impl =
    pooled_connection_actor::extend<caf::reacts_to<found_name>,     // a host of the URL
                                    caf::reacts_to<dial_atom>,      // go on connecting
                                    caf::reacts_to<read_atom>,      // the socket is readable
                                    caf::reacts_to<write_atom>,     // the socket is writable
                                    caf::reacts_to<flush_atom>,     // send what was submitted since
                                    caf::reacts_to<halt_atom>,      // the server knows of a cancel
                                    caf::reacts_to<late_atom, int>, // this clean-up took too long
                                    caf::reacts_to<tick_atom>>;     // look for silence

struct connection_config {
  db::connect_options options;
  io_loop* io = nullptr;
  fd_watcher* sockets = nullptr;
  engine_counters* counters = nullptr;
  database_metrics* metrics = nullptr;
  std::shared_ptr<connection_load> load;
  std::uint64_t id = 0;
  connection_owner_actor pool;
  /// A borrower that asks nothing for so long loses the connection. Inside a transaction the server
  /// is quicker: idle_in_transaction_timeout.
  std::chrono::milliseconds max_loan{60'000};
  /// For undoing what a borrower left, his statements in flight included.
  std::chrono::milliseconds clean_up_limit{2000};
  /// Null: it is none of the pool's, and not counted among them.
  connection_metrics* own = nullptr;
  /// Who is told of notifications. Null: nobody, they are dropped.
  listener_actor listener = {};
};

/// Names of the URL that are being looked up.
struct name_lookup {
  std::set<std::string> missing; ///< without an address so far
  std::size_t open = 0;          ///< without an answer so far
  bool useful = false;           ///< some host can be dialed
  std::string failure;
  std::chrono::steady_clock::time_point since; // of the actor's clock
};

struct connection_state {
  static inline const char* name = "connection";
  using time_point = std::chrono::steady_clock::time_point; // of the actor's clock
  /// A burst whose statements are not all answered.
  struct open_burst {
    caf::typed_response_promise<burst_answers> promise;
    burst_answers answers;
    std::size_t left = 0;
  };
  struct open_query {
    caf::typed_response_promise<db::result> promise; ///< of a single query
    std::shared_ptr<open_burst> group;
    std::size_t place = 0; ///< in the group
    bool engines_own = true;
    query_ptr again; ///< of a read that shares a sync: asked anew when another of its group failed
    statement_metrics* measured = nullptr;
    time_point asked_at;
    std::chrono::milliseconds limit{0}; ///< the server's for this statement
  };
  /// The statements that undo what a borrower left; they have the tokens from `first` on.
  struct cleaning {
    caf::response_promise done;
    std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
    int left = 0;
  };

  /// The borrower's COPY; see connection_copy.cpp.
  struct open_copy {
    caf::typed_response_promise<db::result> done;
    std::uint64_t token;
    bool in;
    std::chrono::milliseconds limit; ///< of silence while something is asked
    std::optional<caf::typed_response_promise<std::string>> reader = {}; ///< waits for rows
    std::optional<caf::response_promise> writer = {};                    ///< waits for room
    std::string bytes = {};                                              ///< of the writer
    std::size_t sent = 0;                                                ///< of these
    bool ending = false;                                                 ///< no more is put
    bool dropping = false;                                               ///< nobody wants the rest
    bool wrong_way = false;              ///< the server copies in the other direction
    std::optional<bool> given_back = {}; ///< the loan has ended; true: tainted
    bool cancelling = false; ///< the server is being told: the next statement would be met, too
    std::optional<db::finished> held = {}; ///< its answer, meanwhile
    time_point moved_at = {};              ///< bytes went, or were asked for
  };

  /// Counts this connection of a pool for as long as it is up, however it ends.
  class up_count {
  public:
    up_count(const connection_config& of, int backend_pid, time_point now) : of_(of) {
      ++of_.counters->connections_open;
      ++of_.metrics->connections;
      of_.own->backend_pid = backend_pid;
      of_.own->up_since = now;
      of_.own->holder = of_.id;
    }
    up_count(const up_count&) = delete;
    up_count& operator=(const up_count&) = delete;
    ~up_count() {
      --of_.counters->connections_open;
      --of_.metrics->connections;
      auto held = of_.id;
      of_.own->holder.compare_exchange_strong(held, 0); // the next one may be up already
    }

  private:
    const connection_config& of_;
  };

  connection_config config;
  bool begun = false;
  std::optional<name_lookup> lookup;
  std::optional<up_count> counted;
  std::optional<db::connecting> dialing;
  std::optional<db::connection> link;
  std::unique_ptr<fd_watch> watch;
  bool reading = false; ///< `watch` will tell, or has told and it is not read yet
  bool writing = false;
  std::unordered_map<std::uint64_t, open_query> open; ///< by db::connection's token
  time_point heard_at;                                ///< the server gave or took bytes last
  bool flush_sent = false;
  /// Reads that wait for their sync together. One that fails takes the others with it, and each of
  /// them is asked again alone; so it stays a bounded number.
  static constexpr int most_in_group = 8;
  int grouped = 0;

  bool lent = false;
  std::optional<open_copy> copy;
  time_point asked_at; ///< the borrower's last statement
  std::optional<cleaning> undoing;
  int clean_ups = 0;
  std::optional<db::db_failure> read_only; ///< what a server said that takes no writes any more
  std::optional<caf::error> broken;        ///< it waits for POOL, or its borrower, to hear of this
};

connection_impl::behavior_type connection(connection_impl::stateful_pointer<connection_state> self,
                                          connection_config config);

} // namespace troupe
