// INTAKE: gathers what many callers enqueue at the same time into few transactions, since each
// commit waits for the disk. Asked by SESSION; asks STORE, wakes EXECUTOR and SCHEDULER. An enqueue
// goes out at once while less than max_flights are on their way; what comes meanwhile gathers for
// the next. Everybody is answered after the commit of his own jobs, all or none of them. When the
// database refuses a flight, its callers are tried one by one: nobody fails for another's sake.
// When a queue is full (max_waiting), they go out again together, and each is told of his own.
// Requests with unique jobs or a key of their own may wait for somebody's transaction, so they
// stand in a line of their own and share no flight with the others. A caller who wants to be told
// of each of his jobs by itself has a flight of his own. Where EXECUTOR has said that it could
// start jobs at once, the next flight goes to it instead of STORE: one wait for the disk less until
// its handlers start. Bounds: flight_jobs and flight_bytes, max_waiting and waiting_bytes; beyond:
// errc::overloaded.
#pragma once

#include "actors/statement.hpp"
#include "messages/counters.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <set>
#include <string>
#include <vector>

namespace troupe {

struct intake_options {
  /// Transactions on their way at once, of each line. With 3 or 4 of them 32 callers stored no more
  /// on two processors: the rates lay within the noise of those with 2.
  std::size_t max_flights = 2;
  /// What one of them may hold; a single caller may bring more.
  std::size_t flight_jobs = 1000;
  std::size_t flight_bytes = std::size_t{4} * 1024 * 1024;
  /// Callers that may wait, and the arguments of their jobs.
  std::size_t max_waiting = 20'000;
  std::size_t waiting_bytes = std::size_t{256} * 1024 * 1024;
};

struct intake_peers {
  store_actor store;
  executor_actor executor;
  scheduler_actor scheduler;
  engine_counters* counters = nullptr;
};

struct intake_state {
  static inline const char* name = "intake";
  /// More jobs than this have no use for a start a millisecond earlier.
  static constexpr std::size_t start_at_once = 16;

  struct caller {
    enqueue_jobs_ptr asked;
    kept_promise<enqueued_jobs> promise;
    std::size_t bytes = 0;
    bool alone = false; ///< was in a refused flight, or is told of each part of his own
  };
  struct flight {
    enqueue_jobs_ptr all;
    std::vector<caller> callers; ///< in the order of their jobs
  };

  struct line {
    std::deque<caller> waiting;
    std::size_t flights = 0;
  };

  intake_options options;
  intake_peers peers;
  line plain;
  line keyed; ///< with unique jobs or idempotency keys, or those who met a full queue
  std::size_t waiting_bytes = 0;
  /// Queues whose next flight goes to EXECUTOR. Bounded by executor_state::max_queues.
  std::set<std::string> invited;
};

intake_actor::behavior_type intake(intake_actor::stateful_pointer<intake_state> self,
                                   intake_options options, intake_peers peers);

} // namespace troupe
