// DOCTOR: looks the database over as `troupe doctor` does, through the pool: one look at a time.
// Who asks meanwhile is told of the next one, with all who wait for it. Asked by SESSION, whose
// GATE bounds how many wait; asks POOL.
#pragma once

#include "actors/pg_protocol.hpp"
#include "actors/statement.hpp"
#include "messages/doctor.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <chrono>
#include <cstddef>
#include <vector>

namespace troupe {

using doctor_actor = caf::typed_actor<
    // Say how the database is.
    caf::replies_to<ask_doctor>::with<doctor_report>>;

struct doctor_state {
  static inline const char* name = "doctor";
  /// How long the server may work on one of the dozen statements.
  static constexpr std::chrono::milliseconds check_limit{3000};

  std::size_t connections = 0; ///< that this node takes
  pool_actor pool;
  std::vector<kept_promise<doctor_report>>
      aboard;                                    ///< of the look that goes on; none: there is none
  std::vector<kept_promise<doctor_report>> next; ///< who asked after it had begun
};

doctor_actor::behavior_type doctor(doctor_actor::stateful_pointer<doctor_state> self,
                                   const pool_actor& pool, std::size_t connections);

} // namespace troupe
