// What one engine is told at its start. Every field has a default that is safe; the command line
// and the environment fill the same struct.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace troupe {

struct engine_options {
  /// A libpq URI or "key=value ...". Empty: a private PostgreSQL in data_dir.
  std::string database_url;
  /// Where the private PostgreSQL, exports and the lock live. Empty: /var/lib/troupe for root, else
  /// $XDG_DATA_HOME/troupe or ~/.local/share/troupe.
  std::string data_dir;
  /// This node's name, [A-Za-z0-9._:-]{1,128}. Two nodes may share one; ids tell them apart.
  std::string node = "node";

  /// Serve HTTP. Default: false, so that an embedded engine opens no port.
  bool http = false;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080; ///< 0: any free one
  /// Further names that requests may use as Host (behind a proxy, or beyond loopback).
  std::set<std::string> allowed_hosts;

  /// Slots of queues by name; 0 leaves a queue to other nodes.
  std::map<std::string, int> queues;
  /// Slots of every other queue. Default: 16
  int slots = 16;
  /// Threads for blocking handlers and for parsing. 0: one per core, at least 2.
  int worker_threads = 0;
  /// Threads of the actors' scheduler. 0: one per core, at least 2.
  int actor_threads = 0;
  /// Database connections; each carries many statements. Default: 4
  int connections = 4;

  /// Add the kinds noop, echo, sleep and fail.
  bool test_kinds = false;
  /// Let crawls reach loopback and private addresses.
  bool allow_private = false;
  /// Pages fetched at the same time. Default: 64
  int fetches = 64;

  /// How long stop() lets jobs finish.
  std::chrono::milliseconds grace{15'000};
  /// A line for a person when the start takes its time. Default: nobody hears it.
  std::function<void(std::string_view)> progress;
};

} // namespace troupe
