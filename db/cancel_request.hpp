// A word to the server, over a connection of its own, to end the statement that a connection is at.
// It outlives that connection, and may be sent from any thread.
#pragma once

#include <memory>

struct pg_cancel; // libpq's PGcancel

namespace troupe::db {

class cancel_request {
public:
  explicit cancel_request(pg_cancel* raw) : raw_(raw) {}

  /// Blocks until the server has passed it on to the statement, or cannot be reached: for as long
  /// as the system tries to connect. False: the server did not take it. What the connection is sent
  /// before this has returned may be cancelled instead.
  bool send() const;

private:
  struct release {
    void operator()(pg_cancel* raw) const;
  };
  std::unique_ptr<pg_cancel, release> raw_;
};

} // namespace troupe::db
