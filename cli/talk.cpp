#include "cli/talk.hpp"

#include "cli/text.hpp"

#include <cstdio>

namespace troupe::cli {

namespace {

/// One command runs in a process, and all that it does speaks in the same manner.
manner in_use; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

} // namespace

void set_manner(const manner& wanted) {
  in_use = wanted;
}

const manner& manner_in_use() {
  return in_use;
}

void complain(const std::string& line) {
  const auto text = "troupe: " + printable(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void tell(const std::string& line) {
  if (!in_use.quiet)
    complain(line);
}

void tell_more(const std::string& line) {
  if (in_use.verbose)
    complain(line);
}

} // namespace troupe::cli
