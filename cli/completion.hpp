// Scripts that complete commands, options and fixed values in a shell. They hold all they need and
// call nothing of Troupe. Pure.
#pragma once

#include "cli/command_tree.hpp"

#include <string>
#include <vector>

namespace troupe::cli {

inline const std::vector<std::string> shells{"bash", "zsh", "fish"};

/// `shell`: one of shells.
std::string completion_script(const std::string& shell, const command_entry& program);

} // namespace troupe::cli
