// Nodes as text for people, made from the server's JSON. Pure: strings in, strings out.
#pragma once

#include "cli/table.hpp"

#include <string>
#include <string_view>

namespace troupe::cli {

/// `widest`: longer cells are cut; 0: never.
table nodes_table(int widest = 60);
/// Adds the nodes of a page; command_error when it is none.
void add_nodes(table& to, std::string_view answer);
/// The fields of one node, and its queues.
std::string node_details(std::string_view node);
/// Before which id the next page starts; empty when this is the last one.
std::string next_node(std::string_view answer);

} // namespace troupe::cli
