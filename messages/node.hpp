// A node as an operator sees it. Each life of a node is one of these: a node that starts again, or
// was declared dead, has a new one. Values only.
#pragma once

#include "messages/asker.hpp"
#include "messages/job.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

namespace limits {
constexpr int node_page = 500; ///< lives in one page
} // namespace limits

/// What the database knows of a life. The last two are over.
enum class node_state : std::uint8_t {
  alive,    ///< its heartbeat is younger than four seconds
  draining, ///< the same, and it is handed out nothing more
  silent,   ///< it is older, and nobody has declared the node dead yet
  leaving,  ///< it has said that it ends; what it left behind is taken by others
  left,     ///< it ended like that
  dead,     ///< it fell silent, and others have taken its jobs
};

std::string_view to_string(node_state state);
std::optional<node_state> parse_node_state(std::string_view name);

/// Of one queue on one node.
struct node_queue {
  std::string queue;
  std::optional<int> slots; ///< none: not told
  std::int64_t running = 0; ///< handed out to the node, also what it has claimed ahead
};

struct node_record {
  node_id id; ///< of this life
  std::string name;
  node_state state = node_state::alive;
  std::string version; ///< of its program; empty: not told
  timestamp started_at;
  std::optional<timestamp> heartbeat_at; ///< none: it has said that it ends
  std::optional<timestamp> ended_at;     ///< none: this life goes on
  std::optional<int> slots; ///< of each queue that it was given none for; none: not told
  std::optional<std::vector<std::string>> kinds; ///< it has handlers for; none: not told
  std::vector<node_queue>
      queues; ///< those it was given slots for and those it runs jobs of, by name
};

/// The newest life of the node of a name; errc::not_found.
struct get_node {
  std::string name;
};
/// From its commit on all lives of the name that go on are handed out nothing more, or are again.
/// What they run they finish. The answer is the newest of these; errc::not_found, errc::conflict
/// when none goes on.
struct drain_node {
  std::string name;
  bool drain = true; ///< false: it is over
  asker by = {};
};
struct list_nodes {
  std::optional<node_state> state; ///< none: lives that are not over
  node_id before;                  ///< 0: from the newest
  int limit = 100;
};
/// Newest first. `next` is the id below which the next page starts.
struct node_page {
  std::vector<node_record> nodes;
  std::optional<node_id> next;
};

} // namespace troupe
