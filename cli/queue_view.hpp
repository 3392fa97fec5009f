// Queues as text for people, made from the server's JSON. Pure: strings in, strings out.
#pragma once

#include "cli/table.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

table queues_table();
/// Adds the queues of a page; command_error when it is none.
void add_queues(table& to, std::string_view answer);
/// Jobs by queue and state, a line for each queue of a page.
table counts_table();
void add_counts(table& to, std::string_view answer);
/// The fields of one queue, aligned.
std::string queue_details(std::string_view queue);
/// How many runs of the queue there are.
std::int64_t running_of(std::string_view queue);
/// Adds the names of a page's queues.
void add_names(std::vector<std::string>& to, std::string_view answer);
/// That there is no such queue, with the one that was probably meant, and that --create would make
/// it, if so.
std::string unknown_queue(const std::string& name, const std::vector<std::string>& known,
                          bool can_be_made);
/// The name after which the next page starts; empty when this is the last one.
std::string next_queue(std::string_view answer);

} // namespace troupe::cli
