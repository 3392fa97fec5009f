// What a server says of itself, of its exports and of its audit, as text for people, made from its
// JSON. Pure: strings in, strings out; command_error when the JSON is not what it should be.
#pragma once

#include "cli/table.hpp"

#include <string>
#include <string_view>

namespace troupe::cli {

/// Every value of an object under its name, those of objects in it as "outer.inner". A list of
/// objects follows as a table of its own.
std::string object_details(std::string_view object);

/// How long what is kept: ages as 7d or forever, and the rest as above.
std::string retention_text(std::string_view answer);
table ages_table();
/// Those of one queue, or of all others.
void add_ages(table& to, std::string_view answer);
/// Which ages a change of the queue, or of all others when it is empty, would make shorter than
/// `kept` says: "completed 1h in place of 7d". An empty change makes them those of all others.
std::string shortened(std::string_view kept, const std::string& queue, std::string_view change);

table audit_table();
void add_entries(table& to, std::string_view answer);
table exports_table();
void add_exports(table& to, std::string_view answer);

} // namespace troupe::cli
