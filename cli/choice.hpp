// An option with a fixed set of values, of which help and completion know all: what is none of them
// is refused with the nearest one. And one with a number between two.
#pragma once

#include "cli/suggest.hpp"
#include "cli/text.hpp"

#include <CLI/CLI.hpp>

#include <sstream>
#include <string>
#include <vector>

namespace troupe::cli {

inline CLI::Validator one_of(const std::vector<std::string>& values) {
  std::string all;
  for (const auto& value : values)
    all += (all.empty() ? "" : ",") + value;
  const auto check = [values, all](const std::string& text) -> std::string {
    for (const auto& value : values)
      if (value == text)
        return {};
    const auto near = nearest(text, values);
    return "'" + printable(text) + "' is none of " + all
           + (near.empty() ? "" : "; did you mean " + near + "?");
  };
  return {check, "{" + all + "}"};
}

/// A number between two, both allowed. CLI::Range lets pass what is no number ("nan").
inline CLI::Validator number_in(double least, double most) {
  std::ostringstream bounds;
  bounds << least << " to " << most;
  const auto check = [least, most, bounds = bounds.str()](const std::string& text) -> std::string {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most)
      return {};
    return "'" + printable(text) + "' is not a number from " + bounds;
  };
  return {check, "in " + bounds.str()};
}

} // namespace troupe::cli
