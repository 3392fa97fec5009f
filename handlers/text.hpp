// Bytes to clean UTF-8, and the small text chores of pages and results. Pure functions, any thread.
#pragma once

#include "messages/utf8.hpp"

#include <string>
#include <string_view>

namespace troupe {

/// A page's bytes as clean UTF-8, by what HTML asks: byte order mark, then the charset parameter of
/// `content_type`, then the page's own <meta> or <?xml?>; unlabelled or wrongly labelled pages are
/// UTF-8 if they are valid, else windows-1252. Returns `bytes` itself when nothing has to change,
/// else a view of `buffer`.
std::string_view page_text(std::string_view bytes, std::string_view content_type,
                           std::string& buffer);

/// Appends the text as a JSON string with its quotes. `text` is UTF-8.
void append_json_string(std::string& out, std::string_view text);

/// True when `text` begins with `prefix`, whose letters are in lower case, ignoring ASCII case.
bool starts_with_lower(std::string_view text, std::string_view prefix);

} // namespace troupe
