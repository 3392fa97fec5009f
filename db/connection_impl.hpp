// What db::connection is made of: one PGconn and the bookkeeping of what travels over it. Private
// to db; connection.cpp writes, connection_reading.cpp reads, copy.cpp does both for COPY. Of
// libpq's results blocking.cpp uses the same.
#pragma once

#include "db/connecting.hpp"
#include "db/dial.hpp"
#include "db/kept_statements.hpp"

#include <deque>
#include <memory>
#include <optional>

namespace troupe::db {

struct clear_result {
  void operator()(pg_result* raw) const;
};
using result_handle = std::unique_ptr<pg_result, clear_result>;

server_error error_of(const pg_result* raw);

struct connection::impl {
  impl(pg_conn* connected, const connect_options& options);

  // -- the end
  void give_up(db_failure why);
  void lost();
  void out_of_step(const char* what);

  // -- writing
  void flush();
  void ask_for_progress(const statement& next, sync_point after);
  void sync();
  void close_group();
  bool write(const query& what, const pipeline::order& order);
  void write_companion(const query& what, sync_point after);
  std::uint64_t write_main(const query& what, sync_point after);
  std::uint64_t refuse(db_failure why, sync_point after);
  std::optional<db_failure> objection(const query& what);
  bool needs_settings(const query& what);

  // -- reading
  void collect();
  void read_by_rows();
  bool take(result_handle answer);
  bool take_rows(result_handle answer);
  bool take_one_row(const pg_result* answer);
  bool take_error(const pg_result* answer);
  std::optional<block_state> told_block() const;
  bool read_only_by_choice() const;

  // -- COPY
  struct copying {
    std::uint64_t token;
    statement_ptr what;
    copy_state at = copy_state::starting;
    std::string chunk = {};                                       ///< came, and is not taken yet
    std::optional<std::variant<result, db_failure>> outcome = {}; ///< of the first result
    std::optional<std::string> cancelled = {};                    ///< why
  };
  bool begin_copy(const std::string& text);
  void read_copy();
  bool read_rows();
  void take_copy_start(result_handle answer);
  void take_copy_end(result_handle answer);
  void fill_chunk();
  void end_copy_in(const char* error);
  void leave_copy();

  connection_handle raw;
  pipeline pipe;
  kept_statements kept; ///< the user's
  std::optional<copying> copy;
  std::chrono::milliseconds statement_timeout;
  std::size_t max_result_bytes;
  bool pooler;
  query settings;               ///< behind a pooler, for each transaction
  bool may_be_in_block = false; ///< behind a pooler: a BEGIN was written
  bool begun_read_only = false; ///< of the transaction that was written last

  std::deque<notification> notes;
  std::optional<server_error> last_words;
  std::optional<db_failure> broken;
  std::size_t unsent_bytes = 0;
  copy_state way = copy_state::starting; ///< of the last COPY
  bool unsent = false;
  bool works = false; ///< the open group has a statement that may take its time

  // Of the statement that is being read row by row:
  bool by_rows = false;
  result_handle gathered;
  bool too_large = false;
};

} // namespace troupe::db
