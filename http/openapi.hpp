// /openapi.json: the route table and the schemas of http/schemas as one OpenAPI 3.1 document.
#pragma once

#include "http/router.hpp"

#include <string>
#include <string_view>

namespace troupe::http {

/// In the schemas a text such as "@max_priority" stands for the limit of that name. Throws
/// std::logic_error for one that is unknown, and where a route or a schema names a component that
/// is not there.
std::string openapi_json(const router& table, std::string_view version);

} // namespace troupe::http
