// The words of a SQL text, as far as it takes to tell what kind of statement it is.
#pragma once

#include <string>
#include <string_view>

namespace troupe::db {

/// The next word in lower case, behind blanks, semicolons and comments; takes it off the text.
/// Empty where no word stands.
std::string take_word(std::string_view& text);
/// Whether its first word is this one of lower case letters. Copies nothing: asked of each
/// statement.
bool begins_with(std::string_view text, std::string_view word);

} // namespace troupe::db
