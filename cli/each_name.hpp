// Commands that take several ids or names: each is carried out by itself.
#pragma once

#include "cli/commands.hpp"

#include <string>

namespace troupe::cli {

/// ok, or the code of the first that failed. What failed of several is told and the others go on,
/// unless there is no server, which is no better for the next one.
template<class Command>
exit_code for_each_name(const invocation& wanted, const std::string& noun, Command carry_out) {
  auto worst = exit_code::ok;
  for (const auto& name : wanted.ids)
    try {
      carry_out(name);
    } catch (const command_error& e) {
      if (wanted.ids.size() == 1 || e.code() == exit_code::unavailable)
        throw;
      complain(std::string{noun}.append(" ").append(name).append(": ").append(e.what()));
      worst = worst == exit_code::ok ? e.code() : worst;
    }
  return worst;
}

} // namespace troupe::cli
