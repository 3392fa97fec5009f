#include "messages/job.hpp"

#include "messages/trace.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 8> state_names = {"pending",   "scheduled", "available",
                                                         "running",   "retryable", "completed",
                                                         "cancelled", "discarded"};

constexpr std::array<std::string_view, 3> conflict_names = {"reject", "existing", "replace"};

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

bool is_searched(const job_filter& filter) {
  return !filter.tags.empty() || filter.limit_key || filter.created_from || filter.created_before
         || !filter.args.empty();
}

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::name_length
         && std::all_of(name.begin(), name.end(), is_name_character);
}

std::string_view to_string(on_conflict value) {
  return conflict_names.at(static_cast<std::size_t>(value));
}

std::optional<on_conflict> parse_on_conflict(std::string_view name) {
  const auto* found = std::find(conflict_names.begin(), conflict_names.end(), name);
  if (found == conflict_names.end())
    return std::nullopt;
  return static_cast<on_conflict>(found - conflict_names.begin());
}

bool is_valid_key(std::string_view key) {
  return !key.empty() && key.size() <= limits::key_length
         && std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::optional<std::string> find_fault(const unique_rule& rule) {
  if (rule.args && !rule.fields.empty())
    return std::string{"unique.args: all of them or some fields, not both"};
  if (rule.fields.size() > limits::unique_fields)
    return "unique.args must be at most " + std::to_string(limits::unique_fields) + " fields";
  for (const auto& field : rule.fields)
    if (field.empty() || field.size() > limits::field_length)
      return "unique.args must have fields of 1 to " + std::to_string(limits::field_length)
             + " bytes each";
  if (rule.period && (rule.period->count() < 1 || *rule.period > limits::max_period))
    return std::string{"unique.period must be 1 ms to ten years"};
  return std::nullopt;
}

std::optional<std::string> find_fault(const retry_policy& policy) {
  const auto too_long = [](std::chrono::milliseconds pause) {
    return pause.count() < 0 || pause > limits::max_delay;
  };
  if (const auto* doubling = std::get_if<backoff>(&policy.how())) {
    if (too_long(doubling->base) || too_long(doubling->cap))
      return std::string{"retry must have pauses of 0 to ten years"};
    if (doubling->cap < doubling->base)
      return std::string{"retry must not have a cap below its base"};
    if (doubling->jitter_percent < 0 || doubling->jitter_percent > 100)
      return std::string{"retry must have a jitter of 0 to 100 percent"};
    return std::nullopt;
  }
  const auto& pauses = std::get<retry_policy::pauses>(policy.how());
  if (pauses.size() > limits::retry_pauses)
    return "retry must have at most " + std::to_string(limits::retry_pauses) + " pauses";
  if (std::any_of(pauses.begin(), pauses.end(), too_long))
    return std::string{"retry must have pauses of 0 to ten years"};
  return std::nullopt;
}

std::optional<std::string> find_fault(const job_spec& job) {
  const auto name_rule = " must be 1 to 128 of A-Z a-z 0-9 . _ : -";
  if (!is_valid_name(job.kind))
    return std::string{"kind"} + name_rule;
  if (!is_valid_name(job.queue))
    return std::string{"queue"} + name_rule;
  if (job.args.size() > limits::args_bytes)
    return "args must be at most " + std::to_string(limits::args_bytes) + " bytes";
  if (job.priority < 0 || job.priority > limits::max_priority)
    return "priority must be 0 to " + std::to_string(limits::max_priority);
  if (job.max_attempts < 1 || job.max_attempts > limits::max_attempts)
    return "max_attempts must be 1 to " + std::to_string(limits::max_attempts);
  if (job.timeout && (job.timeout->count() < 1 || *job.timeout > limits::max_timeout))
    return "timeout must be 1 ms to 7 days";
  if (job.tags.size() > limits::tags)
    return "tags must be at most " + std::to_string(limits::tags);
  for (const auto& tag : job.tags)
    if (tag.empty() || tag.size() > limits::tag_length)
      return "tags must have 1 to " + std::to_string(limits::tag_length) + " bytes each";
  if (job.limit_key.size() > limits::limit_key_length)
    return "limit_key must be at most " + std::to_string(limits::limit_key_length) + " bytes";
  if (job.delay && job.run_at)
    return std::string{"delay and run_at exclude each other"};
  if (job.delay && (job.delay->count() < 0 || *job.delay > limits::max_delay))
    return std::string{"delay must be 0 to ten years"};
  if (job.retry)
    if (auto fault = find_fault(*job.retry))
      return fault;
  if (!job.traceparent.empty() && !parse_traceparent(job.traceparent))
    return std::string{"traceparent must be one of W3C Trace Context"};
  return job.unique ? find_fault(*job.unique) : std::nullopt;
}

} // namespace troupe
