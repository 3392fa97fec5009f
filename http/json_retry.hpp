// A job's `retry` member from JSON, with a pointer to every field at fault.
#pragma once

#include "http/json_guard.hpp"
#include "messages/retry_policy.hpp"

#include <functional>
#include <optional>
#include <string>

namespace troupe::http {

/// Told of each fault: the pointer below /retry, and what is wrong.
using retry_fault = std::function<void(std::string below, std::string detail)>;

/// Nothing for null, and where there is a fault.
std::optional<retry_policy> read_retry(const json_value& value, const retry_fault& fail);

} // namespace troupe::http
