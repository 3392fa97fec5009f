// Options that may stand before the command as well as behind it: those that say which server is
// asked, and how. `troupe --url URL jobs list` is `troupe jobs list --url URL`.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace troupe::cli {

/// The arguments with such options behind the words of the command, and without them where there is
/// no whole command.
std::vector<std::string> options_behind_command(CLI::App& program,
                                                std::vector<std::string> arguments);

} // namespace troupe::cli
