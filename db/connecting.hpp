// A connection being made, step by step, without waiting anywhere. The caller waits for socket() to
// become ready as step() says, and calls step() again; also when deadline() has come. Where the URL
// names hosts, the caller looks them up (conninfo::names_to_look_up) and gives `addresses`: what is
// missing there libpq looks up, and blocks meanwhile.
#pragma once

#include "db/connection.hpp"
#include "db/failure.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::db {

struct connect_options {
  /// See db/conninfo.hpp; settings in its `options` win over those below. With several hosts the
  /// first one that takes writes is used, unless target_session_attrs says otherwise.
  std::string url;
  /// Host names and what they stand for; each address is tried in turn. A name without one is left
  /// out.
  std::map<std::string, std::vector<std::string>> addresses;
  /// A file with nothing but the password, read for every connection: it may change at any time.
  /// Wins over the URL's. (A `passfile` in the URL is read anew each time, too.)
  std::string password_file;
  std::string application_name = "troupe";
  /// For all hosts together; connect_timeout in the URL is for each of them.
  std::chrono::seconds connect_timeout{10};
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds lock_timeout{5'000};
  std::chrono::milliseconds idle_in_transaction_timeout{30'000};
  std::size_t max_in_flight = pipeline::default_max_in_flight;
  /// A larger answer becomes errc::too_large. Of statements that are read by rows (those made at
  /// run time, and lists) no more than this and one row is ever held; the others limit their rows.
  std::size_t max_result_bytes = std::size_t{64} * 1024 * 1024;
  /// The server is a pooler that lends a session for one transaction (PgBouncer). Nothing is
  /// prepared, and settings travel with every transaction. LISTEN does not work through it, and
  /// the URL must not have `options`.
  bool pooler = false;
};

class connecting {
public:
  /// Never fails by itself: a bad conninfo is told by the first step().
  static connecting start(const connect_options& options);
  static connecting start(const std::string& conninfo);
  connecting(connecting&&) noexcept;
  connecting& operator=(connecting&&) noexcept;
  ~connecting();

  enum class want { read, write, done, failed };
  /// Goes on as far as possible. Call first right after start.
  want step();
  /// The socket to wait for; may change with every step. -1 when there is none.
  int socket() const;
  /// step() after this goes on to the next address, or answers failed after the last. May change
  /// with every step.
  std::chrono::steady_clock::time_point deadline() const;

  /// After failed: what went wrong, with what to do about it.
  db_failure failure() const;
  std::string error() const { return failure().message; }
  /// After done, once.
  connection produce() &&;

private:
  struct impl;
  explicit connecting(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

/// The server versions we speak to.
constexpr int oldest_server_version = 140000;

} // namespace troupe::db
