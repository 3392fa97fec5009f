// SHA-256 of a text.
#pragma once

#include <array>
#include <string_view>

namespace troupe::http {

using digest256 = std::array<unsigned char, 32>;

/// Throws std::runtime_error when the library has none to give.
digest256 sha256(std::string_view text);

} // namespace troupe::http
