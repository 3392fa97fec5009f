// The nearest word to a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace troupe::cli {

/// The candidate that the word was probably meant to be, or empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

} // namespace troupe::cli
