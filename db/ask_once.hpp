// One statement over a connection of its own, waited for: for commands that change a database
// without an engine. Never on an actor's thread.
#pragma once

#include "db/connecting.hpp"
#include "db/failure.hpp"
#include "db/query.hpp"
#include "db/result.hpp"

#include <chrono>

namespace troupe::db {

/// Throws db_error; errc::outcome_unknown when no answer came within `patience`, which holds from
/// the moment the connection is there.
result ask_once(const connect_options& where, const query& what,
                std::chrono::milliseconds patience = std::chrono::seconds{30});

} // namespace troupe::db
