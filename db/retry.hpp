// A job's retry policy as the database gives it to nodes: in numbers. Asked by the statements that
// claim and look.
#pragma once

#include "db/result.hpp"
#include "messages/retry_policy.hpp"

#include <optional>

namespace troupe::db {

/// What troupe.retry_numbers has made of it.
std::optional<retry_policy> decode_retry(const row& from, int column);

} // namespace troupe::db
