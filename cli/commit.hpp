// Which commit this program was built from; what was changed since then does not show.
#pragma once

#include <string_view>

namespace troupe::cli {

/// 12 hexadecimal digits; empty: it was not built in a repository. Made by cmake/EmbedCommit.cmake.
std::string_view commit();

} // namespace troupe::cli
