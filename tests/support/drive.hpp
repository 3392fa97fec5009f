// Drives a db::connection with poll() in place of an event loop. For tests: every call waits at
// most `patience` and throws then.
#pragma once

#include "db/connecting.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::tests {

/// A connection to `url`; throws std::runtime_error with the failure's message.
db::connection connect(const std::string& url);
db::connection connect(const db::connect_options& options);
/// How connecting to it fails; throws when it succeeds.
db::db_failure connect_failure(const db::connect_options& options);
db::db_failure connect_failure(const std::string& url);

/// Sends, waits and reads once; for loops that look at something else in between.
void step(db::connection& on);
/// The next `count` answers, in the order they come.
std::vector<db::finished> answers(db::connection& on, std::size_t count);
/// Submits and waits for the answer; the connection must have nothing else in flight.
db::finished ask(db::connection& on, const db::query& what);
/// The rows; throws std::runtime_error with the failure's message.
db::result rows(db::connection& on, const db::query& what);
/// The failure; throws when it succeeds.
db::db_failure refusal(db::connection& on, const db::query& what);

} // namespace troupe::tests
