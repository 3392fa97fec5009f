// CRAWL STORE: questions about crawls, pages and items to named statements, and rows to values.
// Asked by RECORDER and the crawl port. Holds no state.
#pragma once

#include "actors/pg_protocol.hpp"
#include "messages/interfaces.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

crawl_store_actor::behavior_type crawl_store(crawl_store_actor::pointer self,
                                             const pool_actor& pool);

} // namespace troupe
