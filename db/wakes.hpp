// What PostgreSQL tells a node without being asked, and on which queues it sleeps; 000017_wakes.sql
// has the protocol. Values to query, rows to values; NOTIFIER is the only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/job.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::db {

/// Something may run in this queue.
struct wake_hint {
  std::string queue;
};
/// A deferred job is due in this long.
struct due_hint {
  std::chrono::milliseconds delay;
};
/// The next heartbeat has news for this node, or for all.
struct beat_hint {
  std::optional<node_id> node;
};
/// This token was revoked.
struct token_hint {
  std::int64_t id = 0;
};
using hint = std::variant<wake_hint, due_hint, beat_hint, token_hint>;

/// None: it is not one of ours, or of a later version. Anybody may notify on the channel.
std::optional<hint> parse_hint(std::string_view payload);

query listen_query();
query recent_queues_query(std::int32_t limit);
std::vector<std::string> decode_recent_queues(const result& rows);

struct sleep_request {
  std::vector<std::string> sleep; ///< from now on
  std::vector<std::string> again; ///< sleeps there already: look again
  std::vector<std::string> awake; ///< not any more
  bool empty() const { return sleep.empty() && again.empty() && awake.empty(); }
};
/// The numbers are the database's (troupe.sleep_on).
enum class sleep_state : std::uint8_t {
  asleep = 0,
  uneasy = 1, ///< asleep, but a writer was in the way: look again
  work = 2,   ///< there is work: not asleep
  held = 3,   ///< there is some that may not be handed out: not asleep
};
struct slept {
  std::string queue;
  sleep_state state = sleep_state::asleep;
};
query sleep_query(const sleep_request& ask);
std::vector<slept> decode_slept(const result& rows);

} // namespace troupe::db
