// The options about the database: checked, and as the database room takes them. Asked by the
// engine, migrate and doctor.
#pragma once

#include "db/connecting.hpp"
#include "db/failure.hpp"
#include "launcher/engine_options.hpp"
#include "messages/engine_error.hpp"
#include "messages/pool_bounds.hpp"

#include <string>

namespace troupe {

/// Throws engine_error (errc::invalid_argument) that names the key of each that is wrong, as in
/// "database.max_waiting".
void check_database_options(const engine_options& options);

/// The URL as it may be shown; nothing of one that cannot be read, since that may hold a secret.
std::string without_secrets(const std::string& url);

/// With what is left to us filled in.
pool_bounds bounds_of(const database_options& options);

db::connect_options connect_options_of(const std::string& url, const database_options& options,
                                       const std::string& application_name);

/// What the database refused outside of the engine, with advice where its user lacks a right.
engine_error refused_by(const db::db_error& why);

} // namespace troupe
