// LOGBOOK: gathers what the runs of this node say while the last batch of it is being stored. Asked
// by run_reporter and RUNNER, who waits for it before it reports an outcome: behind that nothing of
// the run is taken any more. Bounds: max_lines and max_bytes of what waits; beyond them lines are
// dropped and counted. What the database cannot take for want of a connection is tried again.
#pragma once

#include "actors/run_reporter.hpp"
#include "messages/counters.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <deque>
#include <variant>
#include <vector>

namespace troupe {

using logbook_impl = logbook_actor::extend<caf::reacts_to<tick_atom>>; // INTERNAL: store now

struct logbook_state {
  logbook_state() = default;

  static inline const char* name = "logbook";
  static constexpr std::size_t max_lines = 100'000;
  static constexpr std::size_t max_bytes = std::size_t{64} * 1024 * 1024;
  /// What one statement stores.
  static constexpr std::size_t batch_entries = 1'000;
  static constexpr std::size_t batch_bytes = 1024 * 1024;
  /// Between two batches, unless somebody waits or a whole one has gathered.
  static constexpr std::chrono::milliseconds pace{200};
  /// After a batch that could not be stored for now.
  static constexpr std::chrono::milliseconds patience{1'000};

  struct line {
    told_line told;
    std::chrono::steady_clock::time_point at;
  };
  /// A line, or the run whose progress is to be taken.
  using entry = std::variant<line, run_reporter_ptr>;
  struct waiter {
    caf::typed_response_promise<bool> promise;
    std::uint64_t until; ///< entries tried
  };

  store_actor store;
  engine_counters* counters = nullptr;
  std::deque<entry> entries;
  std::size_t bytes = 0;      ///< of the lines in them
  std::uint64_t received = 0; ///< entries, ever
  std::uint64_t tried = 0;
  std::deque<waiter> waiters;
  bool storing = false;
  bool ticking = false;
  std::chrono::steady_clock::time_point not_before; ///< of an outage, unless somebody waits
};

logbook_impl::behavior_type logbook(logbook_impl::stateful_pointer<logbook_state> self,
                                    store_actor store, engine_counters* counters);

} // namespace troupe
