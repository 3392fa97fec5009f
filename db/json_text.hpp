// Texts for the JSON that functions of the schema take.
#pragma once

#include <string>
#include <string_view>

namespace troupe::db {

/// Appends it as a JSON string, with its quotes. UTF-8 goes through as it is.
void append_json_text(std::string& out, std::string_view text);

} // namespace troupe::db
