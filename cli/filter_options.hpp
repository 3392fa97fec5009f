// The options that say which jobs are meant, of `troupe jobs list`, `jobs bulk` and `export`, and
// what they ask the server for. Pure.
#pragma once

#include "cli/options.hpp"

namespace CLI {
class App;
}

namespace troupe::cli {

void add_filter_options(CLI::App& app, filter_settings& filter);
/// True when something is asked for.
bool is_given(const filter_settings& filter);
/// Throws std::invalid_argument with a sentence for what no server takes.
void check_filter(const filter_settings& filter);
/// As a query, "&state=running&tag=a", or nothing.
std::string filter_query(const filter_settings& filter);
/// As members of a JSON object, "\"state\":\"running\",\"tags\":[\"a\"]", or nothing.
std::string filter_members(const filter_settings& filter);

} // namespace troupe::cli
