// The few blocking calls a launcher needs before the engine runs. Each opens a connection of its
// own and waits at most `timeout` for it. Never on an actor's thread.
#pragma once

#include "db/connecting.hpp"
#include "db/failure.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace troupe::db {

/// Why the database does not answer one `select 1`; nothing when it does.
std::optional<std::string> ping(const std::string& conninfo,
                                std::chrono::seconds timeout = std::chrono::seconds{5});
/// The way to the server as in `where`.
std::optional<std::string> ping(const connect_options& where,
                                std::chrono::seconds timeout = std::chrono::seconds{5});

/// Runs statements, several with `;` between them. Throws db_error.
void exec_script(const std::string& conninfo, const std::string& sql,
                 std::chrono::seconds timeout = std::chrono::seconds{5});

/// libpq's, as it is loaded: "15.8".
std::string client_version();

} // namespace troupe::db
