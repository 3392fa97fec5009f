// A job's `unique` member from JSON, with a pointer to every field at fault.
#pragma once

#include "http/json_guard.hpp"
#include "messages/job.hpp"

#include <functional>
#include <string>

namespace troupe::http {

/// Told of each fault: the pointer below /unique, and what is wrong.
using unique_fault = std::function<void(std::string below, std::string detail)>;

unique_rule read_unique(json_value& value, const unique_fault& fail);

} // namespace troupe::http
