#include "messages/bulk.hpp"

#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 5> actions{"cancel", "retry", "delete", "move",
                                                  "reprioritise"};

} // namespace

std::string_view to_string(bulk_action action) {
  return actions.at(static_cast<std::size_t>(action));
}

std::optional<bulk_action> parse_bulk_action(std::string_view name) {
  for (std::size_t i = 0; i < actions.size(); ++i)
    if (actions.at(i) == name)
      return static_cast<bulk_action>(i);
  return std::nullopt;
}

} // namespace troupe
