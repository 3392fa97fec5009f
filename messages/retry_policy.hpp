// When a failed attempt is followed by the next one, by kind of job. A handler that names a time of
// its own (job_result::retry_in) is followed instead; max_attempts ends it in any case.
#pragma once

#include "messages/backoff.hpp"

#include <cstddef>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

class retry_policy {
public:
  using milliseconds = std::chrono::milliseconds;

  /// Exponential, as backoff says: from 1 s, doubled up to 6 h, spread by a quarter.
  retry_policy() = default;
  static retry_policy exponential(backoff how) { return retry_policy{how}; }
  /// The same pause each time, to the millisecond.
  static retry_policy fixed(milliseconds pause) { return retry_policy{std::vector{pause}}; }
  /// The n-th pause after the n-th attempt; the last one is repeated.
  static retry_policy list(std::vector<milliseconds> pauses) {
    return retry_policy{std::move(pauses)};
  }
  /// A failed attempt is the last one: the job is discarded.
  static retry_policy none() { return retry_policy{std::vector<milliseconds>{}}; }

  /// After attempt number `attempt`, from 1, has failed; nothing when no other is to follow.
  /// `random` is any uniform number.
  std::optional<milliseconds> after(int attempt, std::uint32_t random) const {
    if (const auto* doubling = std::get_if<backoff>(&how_))
      return doubling->after(attempt, random);
    const auto& pauses = std::get<std::vector<milliseconds>>(how_);
    if (pauses.empty())
      return std::nullopt;
    const auto last = static_cast<int>(pauses.size());
    return pauses[static_cast<std::size_t>(std::clamp(attempt, 1, last)) - 1];
  }

private:
  explicit retry_policy(backoff how) : how_(how) {}
  explicit retry_policy(std::vector<milliseconds> pauses) : how_(std::move(pauses)) {}

  std::variant<backoff, std::vector<milliseconds>> how_;
};

} // namespace troupe
