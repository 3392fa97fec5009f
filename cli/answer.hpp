// A server's JSON answer as the views of jobs and queues read it.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace troupe::cli {

using json = nlohmann::json;

/// command_error when the text is no JSON object.
json read_object(std::string_view text);
/// A member as text, whatever it is; empty when it is missing or null.
std::string field(const json& object, const char* name);

} // namespace troupe::cli
