// When a failed attempt is followed by the next one: by kind of job, unless a job has a policy of
// its own. A handler that names a time of its own (job_result::retry_in) is followed instead;
// max_attempts ends it in any case.
#pragma once

#include "messages/backoff.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

class retry_policy {
public:
  using milliseconds = std::chrono::milliseconds;
  using pauses = std::vector<milliseconds>;

  /// Exponential, as backoff says: from 1 s, doubled up to 6 h, spread by a quarter.
  retry_policy() = default;
  static retry_policy exponential(backoff how) { return retry_policy{how}; }
  /// The same pause each time, to the millisecond.
  static retry_policy fixed(milliseconds pause) { return retry_policy{pauses{pause}}; }
  /// The n-th pause after the n-th attempt; the last one is repeated.
  static retry_policy list(std::vector<milliseconds> each) { return retry_policy{std::move(each)}; }
  /// A failed attempt is the last one: the job is discarded.
  static retry_policy none() { return retry_policy{pauses{}}; }

  /// fixed and none are lists, of one pause and of no pause.
  const std::variant<backoff, pauses>& how() const { return how_; }

  friend bool operator==(const retry_policy&, const retry_policy&) = default;

  /// After attempt number `attempt`, from 1, has failed; nothing when no other is to follow.
  /// `random` is any uniform number.
  std::optional<milliseconds> after(int attempt, std::uint32_t random) const {
    if (const auto* doubling = std::get_if<backoff>(&how_))
      return doubling->after(attempt, random);
    const auto& list = std::get<pauses>(how_);
    if (list.empty())
      return std::nullopt;
    const auto last = static_cast<int>(list.size());
    return list[static_cast<std::size_t>(std::clamp(attempt, 1, last)) - 1];
  }

private:
  explicit retry_policy(backoff how) : how_(how) {}
  explicit retry_policy(pauses list) : how_(std::move(list)) {}

  std::variant<backoff, pauses> how_;
};

/// As HTTP and SQL say it, such as {"policy":"fixed","delay_ms":5000}.
std::string to_json(const retry_policy& policy);

} // namespace troupe
