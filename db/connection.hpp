// One established connection: pipelined, non-blocking, without an event loop. Made by
// db::connecting, driven by the CONNECTION actor: submit, flush, wait for the socket, read, take
// the answers. Belongs to one thread at a time. Bound: max_in_flight statements; above it, and
// above query::max_bytes, a statement is answered with a failure at once.
// With one user only, statements may go in groups (sync_point::later), several to one sync.
#pragma once

#include "db/pipeline.hpp"
#include "db/query.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct pg_conn; // libpq's PGconn

namespace troupe::db {

struct connect_options;

/// A message of LISTEN/NOTIFY.
struct notification {
  std::string channel;
  std::string payload;
};

class connection {
public:
  /// Parameters that wait for a slow socket; above it statements are refused as overloaded.
  static constexpr std::size_t max_unsent_bytes = query::max_bytes;

  connection(connection&&) noexcept;
  connection& operator=(connection&&) noexcept;
  /// Closes the socket: destroy what watches it first, its number may be reused at once.
  ~connection();

  /// -1 when broken. May change only before produce().
  int socket() const;
  /// Writes the statement (and its Parse on first use) to libpq's buffer and the socket as far as
  /// that goes without waiting. Always gives a token, and every token is answered exactly once by
  /// next() or abandon().
  /// `later`: the statement waits for others of its group; one submitted with `now`, or flush(),
  /// ends the group. What a failure in a group means for the others: see sync_point. When one is
  /// refused here, the rest of its group is refused as well.
  std::uint64_t submit(const query& what, sync_point after = sync_point::now);
  /// Ends the open group and sends what is buffered, as far as the socket takes it. Call once after
  /// one or many submits.
  void flush();
  /// True: wait until the socket is writable too, then call on_writable().
  bool wants_write() const;
  void on_writable();
  /// Reads what has come. Then take answers with next() until there is none.
  void on_readable();
  std::optional<finished> next();
  std::optional<notification> next_notification();

  std::size_t in_flight() const;
  bool full() const;
  /// No more answers come from the server. What was in flight is answered by next() still.
  bool broken() const;
  /// Why; only when broken.
  const db_failure& why_broken() const;
  /// Gives the connection up: everything not finished is answered now, as after a loss.
  std::vector<finished> abandon(const std::string& why = "the connection was given up");

  /// Of the transaction block, as of the last answer.
  block_state block() const;
  bool in_transaction() const { return block() != block_state::none; }
  int server_version() const; ///< 150020 is 15.20
  int backend_pid() const;

private:
  friend class connecting;
  struct impl;
  static connection adopt(pg_conn* raw, const connect_options& options);
  explicit connection(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe::db
