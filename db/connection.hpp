// One established connection: pipelined, non-blocking, without an event loop. Made by
// db::connecting, driven by the CONNECTION actor: submit, flush, wait for the socket, read, take
// the answers. Belongs to one thread at a time. Bound: max_in_flight statements; above it, and
// above query::max_bytes, a statement is answered with a failure at once.
// With one user only, statements may go in groups (sync_point::later), several to one sync.
#pragma once

#include "db/cancel_request.hpp"
#include "db/pipeline.hpp"
#include "db/query.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
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
  /// As many of the user's statements are prepared as may be: sql::session_deallocate makes room,
  /// at a time when nothing is in flight.
  bool wants_deallocation() const;
  /// No more answers come from the server. What was in flight is answered by next() still.
  bool broken() const;
  /// Why; only when broken.
  const db_failure& why_broken() const;
  /// Gives the connection up: everything not finished is answered now, as after a loss.
  std::vector<finished> abandon(const std::string& why = "the connection was given up");

  // COPY, on a connection of one user with nothing in flight: it leaves the pipeline for so long.
  // The answer comes by next(), as for a statement; until then all else is refused as
  // errc::conflict. The times that hold are the transaction's; query::timeout() is not looked at.
  enum class copy_state : std::uint8_t {
    none,
    starting, ///< the server has not said which way it goes
    in,       ///< FROM STDIN: the server waits for copy_put(), copy_end() or copy_cancel()
    out,      ///< TO STDOUT: take copy_chunk() until there is none
    ending,
  };
  static constexpr std::size_t copy_chunk_size = std::size_t{64} * 1024;
  static constexpr std::size_t max_copy_put = std::size_t{1} * 1024 * 1024;
  /// A COPY statement. It takes no parameters, so they are written into its text as literals.
  std::uint64_t copy(const query& what);
  copy_state copying() const;
  /// Of the last COPY: in or out; starting, when the server has not said.
  copy_state copy_way() const;
  /// Whole rows, copy_chunk_size of them or one larger row, and less when no more has come;
  /// nothing: wait for the socket. Not much more is read before this is taken, so whoever does not
  /// ask holds the server up. Look at next() after the last one.
  std::optional<std::string> copy_chunk();
  /// A whole chunk or the last one waits: on_readable() reads nothing until it is taken.
  bool copy_waits() const;
  /// False: not taken. Either the socket is full (wants_write(); try again after on_writable()), or
  /// it is no longer the time for it (see copying()). At most max_copy_put bytes. A row that the
  /// server does not accept is told after copy_end() only.
  bool copy_put(std::string_view bytes);
  void copy_end();
  /// Nothing is stored, and the answer is errc::aborted. FROM STDIN leaves the connection usable;
  /// TO STDOUT breaks it: the rest could only be read to its end.
  void copy_cancel(const std::string& why);
  /// To end what it is at. Null behind a pooler, where that may be another client's by then.
  std::shared_ptr<const cancel_request> to_cancel() const;

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
