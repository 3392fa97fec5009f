// Exports that are kept, from JSON and to JSON.
#pragma once

#include "http/problem.hpp"
#include "messages/stored_export.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace troupe::http {

/// `{"format":...}` to what is to be exported, or a 400 with every field at fault.
std::variant<export_order, problem> read_export(std::string_view body);

void append_export(std::string& out, const export_record& one);
std::string exports_json(const export_page& page);

/// `ndjson`, `csv` or `json`.
std::string_view to_string(export_format format);

} // namespace troupe::http
