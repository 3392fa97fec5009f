// An option with a fixed set of values. What is none of them is refused with the nearest one, and
// help and completion know them all.
#pragma once

#include "cli/suggest.hpp"
#include "cli/text.hpp"

#include <CLI/CLI.hpp>

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

} // namespace troupe::cli
