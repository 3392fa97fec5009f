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
#include <utility>
#include <vector>

namespace troupe {

/// The way to the database and the connections that take it. In a configuration file these are the
/// keys of [database], the URL is database.url.
struct database_options {
  using milliseconds = std::chrono::milliseconds;

  /// A file with nothing but the password, read for every connection: it may change at any time.
  std::string password_file;
  /// Connections kept when nothing is to do. 0: half of the most, at least two
  int min_connections = 0;
  /// Connections at most, at least two; each carries many statements. Default: 4
  int max_connections = 4;
  /// How long a caller waits for a connection. Default: 3 s
  milliseconds acquire_timeout{3000};
  /// How long the server may work on a statement that has no limit of its own. Default: 10 s
  milliseconds statement_timeout{10'000};
  /// Above min_connections, one that is not used for so long is closed. Default: 1 min
  milliseconds idle_limit{60'000};
  /// Then a connection is replaced, 10% sooner or later. Default: 30 min
  milliseconds max_lifetime{1'800'000};
  /// Callers that may wait for a connection; further ones are refused. Default: 4096
  int max_waiting = 4096;
  /// The server is a pooler that lends a session for one transaction (PgBouncer): nothing is
  /// prepared.
  bool pooler = false;
};

struct engine_options {
  /// A libpq URI or "key=value ...". Empty: a private PostgreSQL in data_dir.
  std::string database_url;
  database_options database;
  /// Where the private PostgreSQL, exports and the lock live. Empty: /var/lib/troupe for root, else
  /// $XDG_DATA_HOME/troupe or ~/.local/share/troupe.
  std::string data_dir;
  /// This node's name, [A-Za-z0-9._:-]{1,128}. Two nodes may share one; ids tell them apart.
  std::string node = "node";

  /// Serve HTTP. Default: false, so that an embedded engine opens no port.
  bool http = false;
  std::string address = "127.0.0.1"; ///< empty: no TCP
  std::uint16_t port = 8080;         ///< 0: any free one
  /// PEM files of a certificate with its chain, and of its key. Empty: plain HTTP. They are read
  /// again when they change, see engine::reload_certificate().
  std::string tls_certificate;
  std::string tls_key;
  /// Serve HTTP on a Unix socket, too: an absolute path of 107 bytes at most. Empty: none
  std::string socket_path;
  /// Of its file. Default: 0600
  std::uint32_t socket_mode = 0600;
  /// Requests a second of one caller: one token, or else one address; then 429. 0: any number
  int http_rate = 0;
  /// So many of them may come at once. 0: as many as in a second
  int http_burst = 0;
  /// Spans go to this collector, by OTLP over HTTP, to /v1/traces there. Empty: nowhere, and none
  /// are made; see docs/observability.md.
  std::string otlp_endpoint;
  /// PEM file of authorities, in place of the system's, one of which has signed the certificate of
  /// an https:// collector. Empty: the system's
  std::string otlp_ca_file;
  /// Of the traces that begin here so many are sampled: 0 (none is begun) to 1. Default: 1
  double otlp_sample_ratio = 1;
  /// Headers of its requests, name and value; they may be secret.
  std::vector<std::pair<std::string, std::string>> otlp_headers;
  /// The attribute service.name of all spans.
  std::string otlp_service = "troupe";

  /// Answer only requests with a bearer token of the database; see docs/security.md.
  bool require_tokens = false;
  /// Further names that requests may use as Host (behind a proxy, or beyond loopback).
  std::set<std::string> allowed_hosts;

  /// Slots of queues by name; 0 leaves a queue to other nodes.
  std::map<std::string, int> queues;
  /// Slots of every other queue. Default: 16
  int slots = 16;
  /// Jobs of one queue that this node claims ahead of its slots, at most: many when jobs are short,
  /// so that a claim brings a large batch; few or none (0) leave them to other nodes. Default:
  /// 4000, and never more.
  int prefetch = 4000;
  /// Threads for blocking handlers and for parsing. 0: one per core, at least 2.
  int worker_threads = 0;
  /// Threads of the actors' scheduler. 0: one per core, at least 2.
  int actor_threads = 0;

  /// Add noop, echo, sleep, fail, effect and trouble.
  bool test_kinds = false;
  /// Let crawls reach loopback and private addresses.
  bool allow_private = false;
  /// Pages fetched at the same time. Default: 64
  int fetches = 64;

  /// A handler that goes on for so long after it was asked to stop is stuck: its slot is given to
  /// another run. Default: 1 min
  std::chrono::milliseconds stuck_after{60'000};
  /// How long stop() lets jobs finish.
  std::chrono::milliseconds grace{15'000};
  /// What /api/v1/config answers: JSON, as `troupe config show --origin --json` prints it. Empty:
  /// no setting is shown.
  std::string configuration;
  /// What its program was built from, as troupe_build_info tells it. Empty: not told.
  std::string commit;
  /// A line for a person when the start takes its time. Default: nobody hears it.
  std::function<void(std::string_view)> progress;
};

} // namespace troupe
