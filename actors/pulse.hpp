// PULSE: this node's life. Joins, beats once a second by the database's clock, and passes on what
// the answer says: cancels and lost leases to EXECUTOR, dead nodes to JANITOR, due times to
// SCHEDULER, queues with work or paused, shares of permits and drains to EXECUTOR. Told by NOTIFIER
// that there is news, it beats at once. Declared dead, it joins anew. Asks STORE.
#pragma once

#include "messages/counters.hpp"
#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <map>
#include <string>

namespace troupe {

struct pulse_options {
  std::string node_name = "node";
  std::map<std::string, int> queues = {}; ///< slots; 0 leaves it to other nodes
  int default_slots = 1;                  ///< of all others
  std::vector<std::string> kinds = {};    ///< that this node has handlers for
  /// Above it the kinds are not told, as if this node had any.
  static constexpr std::size_t most_kinds = 1000;
  /// The heartbeat limit (db/node_statements.hpp) is four of these.
  std::chrono::milliseconds interval{1000};
  /// When news comes all the time, so long between an answer and the next beat.
  std::chrono::milliseconds least_pause{20};
};

using pulse_actor =
    caf::typed_actor<caf::reacts_to<tick_atom, std::uint64_t>, // INTERNAL: timer N: beat, or join
                                                               // NOTIFIER: there is news for this
                                                               // node (0: for all); beat now
                     caf::reacts_to<beat_atom, node_id>,
                     caf::reacts_to<drain_atom>>; // this life ends: leave and beat no more;
                                                  // answered when it is written

struct pulse_state {
  static inline const char* name = "pulse";
  pulse_options options;
  store_actor store;
  executor_actor executor;
  scheduler_actor scheduler;
  janitor_actor janitor;
  engine_counters* counters = nullptr;
  node_id node;            ///< 0 while not joined
  std::uint64_t timer = 0; ///< the armed one; older ones are ignored when they fire
  bool beating = false;    ///< a beat is on its way
  bool news = false;       ///< came meanwhile
  bool hurrying = false;   ///< the timer is armed for the least pause
  bool draining = false;   ///< an operator wants no more jobs here; goes on in the next life
  bool ending = false;
};

pulse_actor::behavior_type pulse_of_node(pulse_actor::stateful_pointer<pulse_state> self,
                                         pulse_options options, store_actor store,
                                         executor_actor executor, scheduler_actor scheduler,
                                         janitor_actor janitor, engine_counters* counters);

} // namespace troupe
