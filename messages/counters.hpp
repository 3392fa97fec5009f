// The engine's counters: written by the actors, read by /metrics. Relaxed atomics; each stands
// alone. Counts of jobs and other measures are read from the database now and then.
#pragma once

#include "messages/measures.hpp"
#include "messages/queue.hpp"
#include "messages/run_metrics.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace troupe {

struct engine_counters {
  using counter = std::atomic<std::uint64_t>;
  counter jobs_enqueued{0};
  counter jobs_claimed{0};
  counter attempts_completed{0};
  counter attempts_failed{0}; ///< will be retried
  counter attempts_discarded{0};
  counter attempts_cancelled{0}; ///< told to stop while running here
  counter attempts_snoozed{0};
  counter attempts_fenced{0};   ///< outcomes that came too late to be written
  counter log_lines{0};         ///< of runs, stored
  counter log_lines_dropped{0}; ///< for want of room, here or in the database
  counter reports_fenced{0};    ///< progress and lines that came too late
  counter jobs_rescued{0};      ///< taken back from dead nodes, by this node
  counter leases_expired{0};    ///< the leases that those were in
  counter jobs_expired{0};      ///< dropped past their ages, by this node
  counter jobs_promoted{0};     ///< scheduled or retryable jobs made available, by this node
  counter slots{0};             ///< gauge: of the queues that this node has had work of
  counter running{0};           ///< gauge: slots taken here now
  counter stuck{0};             ///< gauge: handlers that go on though their slot is free again
  counter backlog{0};           ///< gauge: claimed here and not started yet
  counter heartbeats{0};        ///< answered ones of this node
  counter statements{0};
  counter statement_errors{0};
  counter connections_open{0}; ///< gauge
  counter connections_lost{0};
  counter notifications{0};       ///< heard of PostgreSQL, those of other programs not counted
  counter notifier_reconnects{0}; ///< listening connections that were lost
  counter listening{0};           ///< gauge: 1 while notifications are heard
  /// Revocations of tokens that were heard of, and times when some may have been missed: what was
  /// looked up about tokens before does not hold any more.
  counter token_changes{0};
  counter pool_waiting{0}; ///< gauge: callers waiting for a connection
  counter pool_refused{0}; ///< callers refused: too many waiting, or waited too long
  counter http_requests{0};
  counter http_rejected{0};      ///< refused before routing: framing, limits
  counter http_denied{0};        ///< for want of a token, a role or a queue
  counter http_connections{0};   ///< gauge
  counter requests_in_flight{0}; ///< gauge: sessions alive
  counter spans_exported{0};
  counter spans_dropped_full{0};     ///< no room: the collector is slow or away
  counter spans_dropped_rejected{0}; ///< the collector does not want them
  counter spans_dropped_stopping{0}; ///< left when the node's time to end was over
  counter span_export_errors{0};     ///< requests to the collector that failed
  /// Of the first limits::measured_queues; null before they were read the first time.
  std::atomic<std::shared_ptr<const std::vector<job_counts>>> jobs{};
  /// The same.
  std::atomic<std::shared_ptr<const database_measures>> measured{};
  run_metrics runs;
};

} // namespace troupe
