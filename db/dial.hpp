// The way to a PGconn, shared by connecting (non-blocking) and startup_session: settings, one host
// after the other, and start-up errors in words a person can act on. Private to db.
#pragma once

#include "db/connecting.hpp"
#include "db/conninfo.hpp"

#include <chrono>
#include <memory>
#include <string>

struct pg_conn;

namespace troupe::db {

struct close_connection {
  void operator()(pg_conn* raw) const;
};
using connection_handle = std::unique_ptr<pg_conn, close_connection>;

class dial {
public:
  explicit dial(const connect_options& options);

  connecting::want step();
  int socket() const;
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }
  const db_failure& failure() const { return failure_; }
  connection_handle take() { return std::move(raw_); }

private:
  using clock = std::chrono::steady_clock;
  /// One address: what differs from the others.
  struct candidate {
    std::string host, port, address;
    std::string wanted; ///< target_session_attrs
  };

  bool prepare(const connect_options& options);
  void try_next();
  connecting::want step_once();
  connecting::want fail(db_failure why);
  connecting::want refused();
  connecting::want established();

  connection_handle raw_;
  conninfo::settings settings_; ///< the same for all candidates
  std::vector<candidate> candidates_;
  std::size_t next_ = 0; ///< of candidates_
  std::chrono::milliseconds per_candidate_{0};
  clock::time_point deadline_;
  bool polled_ = false;
  bool failed_ = false;
  db_failure failure_;
};

/// libpq's message on one line.
std::string one_line(std::string_view text);

} // namespace troupe::db
