// Clean UTF-8: what PostgreSQL takes as a text. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

namespace troupe {

inline constexpr std::string_view utf8_replacement = "\xEF\xBF\xBD";

/// True when the text is UTF-8 throughout (no surrogates, nothing overlong) and holds no NUL.
bool is_clean_utf8(std::string_view text);

/// The text with every invalid sequence and NUL replaced by U+FFFD.
std::string clean_utf8(std::string_view text);

/// The longest prefix of at most `limit` bytes that does not cut a character in two.
std::string_view cut_utf8(std::string_view text, std::size_t limit);

} // namespace troupe
