// What comes from servers, pages and databases, made fit for a terminal: one line, no control
// characters, no escape sequences, known width. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

/// The text with line ends and tabs as \n, \r, \t, other control characters (C0, DEL, C1) and those
/// that turn the writing direction as \x1b or \u{202e}, and what is not UTF-8 as U+FFFD.
std::string printable(std::string_view text);

/// JSON text whose C1 and direction characters are escaped; the same value, harmless to a terminal.
std::string printable_json(std::string_view json);

/// A URL with *** in place of its password, also where the URL is a wrong one.
std::string without_password(const std::string& url);

/// Columns that printable text takes: wide characters two, combining ones none.
int display_width(std::string_view text);
/// Printable text cut to so many columns, the last of them an ellipsis when something was cut.
std::string cut_to_width(std::string_view text, int columns);

/// "812 B", "12.3 MB"; decimal units.
std::string bytes_text(std::int64_t bytes);
/// "0:07", "12:30", "3:02:11".
std::string duration_text(double seconds);

/// The raw value of a member of a JSON object, as it stands there; empty when there is none. Keeps
/// numbers that a parser would round. The text must be valid JSON.
std::string_view raw_member(std::string_view object, std::string_view name);
/// The raw values of a JSON array's elements, likewise.
std::vector<std::string_view> raw_elements(std::string_view array);

} // namespace troupe::cli
