// Jobs as the server's JSON gives them, laid out for people. Pure; throws command_error when the
// answer is not what a Troupe server gives.
#pragma once

#include "cli/table.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

/// An empty table with the columns of `jobs list`.
table jobs_table(int widest);
/// Adds the jobs of a list answer; how many there were.
int add_jobs(table& to, std::string_view answer);
/// All of one job: its fields, then its attempts.
std::string job_details(std::string_view job);

/// The lines of a log's answer, each on a line of its own.
std::string log_lines(std::string_view answer);
/// The number of its last line; empty when it has none.
std::string last_line(std::string_view answer);

/// The job's id and state.
struct job_head {
  std::string id;
  std::string state;
};
job_head head_of(std::string_view job);

/// The cursor of a list answer; empty when it was the last page.
std::string next_cursor(std::string_view answer);

/// "2026-11-23 08:55:05Z" of an RFC 3339 time.
std::string short_time(std::string_view time);

} // namespace troupe::cli
