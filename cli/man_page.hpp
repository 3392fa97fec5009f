// The manual page troupe(1) in roff, for man and groff. Pure.
#pragma once

#include "cli/command_tree.hpp"

#include <string>
#include <string_view>

namespace troupe::cli {

std::string man_page(const command_entry& program, std::string_view version);

/// The text as it is, for roff: nothing in it is a request, an escape or a ligature.
std::string roff_text(std::string_view text);

} // namespace troupe::cli
