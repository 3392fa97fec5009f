// WORK STORE: turns what workers by HTTP ask into named statements, asks POOL, and decodes the
// rows. No state, no bound of its own: POOL's count.
#pragma once

#include "actors/pg_protocol.hpp"
#include "messages/work_interfaces.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

work_store_actor::behavior_type work_store(work_store_actor::pointer self, const pool_actor& pool);

} // namespace troupe
