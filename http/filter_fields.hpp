// The filter of jobs as a query and as JSON bodies give it: the same fields everywhere, with the
// same bounds. A query repeats `tag`, a body has `tags`.
#pragma once

#include "http/json_guard.hpp"
#include "http/message.hpp"
#include "messages/job.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

inline constexpr std::string_view filter_parameters =
    "state, queue, kind, tag, limit_key, created_from, created_before, args";
inline constexpr std::string_view filter_members =
    "state, queue, kind, tags, limit_key, created_from, created_before, args";

/// One parameter of a query into the filter: false when it is none of a filter's. What is wrong
/// with the value goes into `fault`.
bool read_filter(std::string_view name, std::string& value, job_filter& filter,
                 std::optional<response>& fault);

/// One member of a body's object, the same. `fail` hears which place below `at` is wrong, and how;
/// `at` is the member's own pointer.
bool read_filter(std::string_view name, json_value& value, const std::string& at,
                 job_filter& filter,
                 const std::function<void(std::string pointer, std::string detail)>& fail);

/// As members behind others, null where nothing is asked for. `state` is called `state_name`.
void append_filter(std::string& out, const job_filter& filter, std::string_view state_name);

} // namespace troupe::http
