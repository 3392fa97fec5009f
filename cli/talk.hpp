// What is said beside the data, on standard error, and how plain standard output is: of all
// commands alike, by the options that each of them has.
#pragma once

#include <string>

namespace troupe::cli {

struct manner {
  bool quiet = false;     ///< nothing is said but what went wrong
  bool verbose = false;   ///< requests, too
  bool plain = false;     ///< as if standard output were no terminal
  bool no_colour = false; ///< no attribute of a terminal: also by NO_COLOR
};

/// Once, before anything is said.
void set_manner(const manner& wanted);
const manner& manner_in_use();

/// One line on standard error, made printable: what is good to know.
void tell(const std::string& line);
/// What went wrong, or was not done.
void complain(const std::string& line);
/// What helps to find out why.
void tell_more(const std::string& line);

} // namespace troupe::cli
