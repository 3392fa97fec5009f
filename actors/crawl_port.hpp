// The crawl port over the actor system: handlers' questions become messages to RECORDER, CRAWL
// STORE and STORE. Any thread may call; callbacks come on an actor's thread.
#pragma once

#include "actors/recorder.hpp"
#include "actors/work_protocol.hpp"
#include "messages/crawl.hpp"

#include <caf/actor_system.hpp>

#include <memory>

namespace troupe {

/// The port must not outlive the actor system.
std::unique_ptr<crawl_port> make_crawl_port(caf::actor_system& system, recorder_actor recorder,
                                            crawl_store_actor crawls, store_actor store,
                                            executor_actor executor, work_peers work);

} // namespace troupe
