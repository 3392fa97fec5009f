// The way to a PGconn, shared by connecting (non-blocking) and blocking_session: settings, steps,
// and start-up errors in words a person can act on. Private to db.
#pragma once

#include "db/connecting.hpp"

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
  connecting::want fail(db_failure why);
  connecting::want refused();
  connecting::want established();

  connection_handle raw_;
  std::chrono::seconds timeout_;
  std::chrono::steady_clock::time_point deadline_;
  bool polled_ = false;
  bool failed_ = false;
  db_failure failure_;
};

/// libpq's message on one line.
std::string one_line(std::string_view text);

} // namespace troupe::db
