// The id of an event: what its stream has told up to it, so that whoever comes back with it in
// Last-Event-ID hears of what is another since, and of nothing else. It holds digests and not the
// state, is bound to what was asked for, and is bounded. The check value catches mistakes; it is no
// secret, since a forged id hides nothing from anybody but its forger.
#pragma once

#include "messages/job.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::http {

namespace event_bounds {
/// Jobs, or queues by name, that one stream may be for; above: 400. Of a stream of all queues, how
/// many an id names one by one; above, an id says only what all were together.
constexpr std::size_t subjects = 100;
/// Characters. 100 jobs with 6 bytes of digest and at most 10 of a line's number each.
constexpr std::size_t id_length = 2'300;
} // namespace event_bounds

/// What a stream is for. Without both: all queues. Never both. In order, and each once.
struct event_subject {
  std::vector<job_id> jobs;
  std::vector<std::string> queues;
};

/// 48 bits of a state as it was told, never 0.
std::uint64_t event_digest(std::string_view text);

struct told_job {
  std::uint64_t digest = 0;   ///< 0: nothing was told
  std::int64_t last_line = 0; ///< of its log
  bool ended = false;         ///< that it has ended was told
  bool operator==(const told_job&) const = default;
};
struct told_queue {
  std::uint32_t name = 0; ///< a hash of it
  std::uint64_t digest = 0;
};

struct event_position {
  bool done = false;          ///< all was told, and that this is the end
  std::vector<told_job> jobs; ///< as the subject has them
  std::vector<told_queue> queues;
  /// Instead of `queues`, where there are too many: what all of them were together.
  std::optional<std::uint64_t> whole;
};

std::uint32_t event_name_hash(std::string_view queue);
/// What one queue adds (by xor) to `whole`.
std::uint64_t event_share(std::string_view queue, std::uint64_t digest);

std::string make_event_id(const event_position& told, const event_subject& of);
/// Nothing when the text is not an id of this version of a stream for the same.
std::optional<event_position> read_event_id(std::string_view text, const event_subject& of);

} // namespace troupe::http
