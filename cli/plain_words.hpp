// What CLI11 says of wrong values, in words for people who have never heard of it. Pure.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace troupe::cli {

/// The sentence about an option or a place of this command; as it is where it is clear enough.
std::string plain_words(const CLI::App& command, const std::string& sentence);

} // namespace troupe::cli
