#include "messages/job.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 8> state_names = {
    "pending", "scheduled", "available", "running",
    "retryable", "completed", "cancelled", "discarded"};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.'
         || c == '_' || c == ':' || c == '-';
}

} // namespace

std::string_view to_string(job_state state) {
  return state_names.at(static_cast<std::size_t>(state));
}

std::optional<job_state> parse_job_state(std::string_view name) {
  const auto* found = std::find(state_names.begin(), state_names.end(), name);
  if (found == state_names.end())
    return std::nullopt;
  return static_cast<job_state>(found - state_names.begin());
}

bool is_final(job_state state) {
  return state == job_state::completed || state == job_state::cancelled
         || state == job_state::discarded;
}

std::string_view to_string(outcome value) {
  switch (value) {
  case outcome::completed:
    return "completed";
  case outcome::cancelled:
    return "cancelled";
  case outcome::discarded:
    return "discarded";
  case outcome::failed:
    return "failed";
  case outcome::lost:
    return "lost";
  }
  return "unknown";
}

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::name_length
         && std::all_of(name.begin(), name.end(), is_name_character);
}

} // namespace troupe
