#include "messages/node.hpp"

#include <array>
#include <utility>

namespace troupe {

namespace {

constexpr std::array<std::pair<std::string_view, node_state>, 6> states{
    {{"alive", node_state::alive},
     {"draining", node_state::draining},
     {"silent", node_state::silent},
     {"leaving", node_state::leaving},
     {"left", node_state::left},
     {"dead", node_state::dead}}};

} // namespace

std::string_view to_string(node_state state) {
  return states.at(static_cast<std::size_t>(state)).first;
}

std::optional<node_state> parse_node_state(std::string_view name) {
  for (const auto& [text, state] : states)
    if (text == name)
      return state;
  return std::nullopt;
}

} // namespace troupe
