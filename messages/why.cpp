#include "messages/why.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 14> names = {
    "finished", "running", "time", "key_limit", "key_rate", "paused", "limit",
    "rate",     "no_node", "lag",  "turn",      "next",     "order",  "no_kind"};

} // namespace

std::string_view to_string(hold_reason reason) {
  return names.at(static_cast<std::size_t>(reason));
}

std::optional<hold_reason> parse_hold_reason(std::string_view name) {
  const auto* found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    return std::nullopt;
  return static_cast<hold_reason>(found - names.begin());
}

} // namespace troupe
