// The bookkeeping of a pipelined connection, without a socket: which statement the next event of
// the wire belongs to, which prepared names exist, who is answered with what. Statements go in
// groups that end with a sync; mostly a group is one statement. An error concerns only its group,
// and nobody is answered before the group's sync: until then its commit is not known. Bound:
// max_in_flight; above it a statement is refused as overloaded.
#pragma once

#include "db/failure.hpp"
#include "db/result.hpp"
#include "db/statement.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

namespace troupe::db {

/// The answer to one submitted statement; each token gets exactly one.
struct finished {
  std::uint64_t token;
  std::variant<result, db_failure> outcome;
};

/// Whether a statement ends its group. A group outside of a transaction block is one transaction:
/// when one statement fails, all of it is undone and the others are answered errc::aborted. Inside
/// a block those before the failed one keep their answers, those after it are errc::aborted.
enum class sync_point : std::uint8_t { now, later };

/// BEGIN or START TRANSACTION.
bool opens_block(const statement& what);
/// COPY.
bool is_copy(const statement& what);

/// Of the connection's transaction block.
enum class block_state : std::uint8_t {
  none,   ///< each group is a transaction of its own
  open,   ///< BEGIN was carried out
  failed, ///< and then a statement failed: only ROLLBACK [TO] is carried out
};

class pipeline {
public:
  static constexpr std::size_t default_max_in_flight = 1024;

  explicit pipeline(std::size_t max_in_flight = default_max_in_flight);

  struct entrance {
    statement_ptr what;
    sync_point after = sync_point::now;
    /// Sent for another statement's sake: has no answer of its own.
    bool companion = false;
    /// Prepared under this one's name, which no other text has; null: under its own, if at all.
    statement_ptr as = {};
    /// Not prepared, although it could be.
    bool parse_anew = false;
    /// Rows it has to change; another number makes the answer errc::stale.
    std::optional<std::uint64_t> expected = {};
  };
  /// What to write for a statement: a Parse first when `prepare`, then the execution of `name`
  /// (empty: of the text), then a sync when it ends its group.
  struct order {
    std::uint64_t token;
    std::string name;
    bool prepare;
  };
  /// Takes a statement in. The caller writes it before entering the next. Requires !full().
  order enter(const entrance& what);
  order enter(const statement& what, sync_point after = sync_point::now) {
    return enter({.what = not_owned(what), .after = after});
  }
  /// Gives a token to a statement that is not written, and answers it with `why`. The rest of its
  /// group must not be written either, see refusing().
  std::uint64_t refuse(db_failure why, sync_point after = sync_point::now);
  /// A group is open that a statement was refused of: what else belongs to it is refused with this.
  const db_failure* refusing() const { return refusing_ ? &*refusing_ : nullptr; }
  /// Statements are written whose sync is not.
  bool group_open() const { return !written_.empty() && !written_.back().closes; }
  /// The caller writes the sync of the open group, if there is one.
  void close_group();

  /// What is written last drops all that is prepared.
  void forget_all();

  // What the wire said, in its order. False when the event does not fit what was written: then
  // nothing more can be believed and the connection has to be given up.
  /// A Parse succeeded, or a statement gave its rows or its completion.
  /// `withheld`: it did, yet is answered with this instead.
  [[nodiscard]] bool on_result(result rows, std::optional<db_failure> withheld = {});
  /// A step failed. `forget`: the prepared statement is gone or outdated.
  [[nodiscard]] bool on_error(db_failure why, bool forget = false);
  /// A step was skipped because an earlier one of the same group failed.
  [[nodiscard]] bool on_aborted();
  /// The group's sync: its answers are final now. `told`: the server's word on the block, where
  /// libpq tells it; it does not while more is on its way.
  [[nodiscard]] bool on_sync(std::optional<block_state> told = {});
  /// The connection is gone. What was written and not finished is answered: errors stand, all else
  /// is errc::outcome_unknown.
  void on_lost(const db_failure& why);

  /// For what does not travel in the pipeline and is answered with the rest.
  std::uint64_t next_token() { return ++last_token_; }
  void answer_outside(finished answer, std::optional<block_state> told);

  /// The next answer that is ready.
  std::optional<finished> next();

  std::size_t in_flight() const { return written_.size() - companions_; }
  bool full() const { return in_flight() >= max_in_flight_; }
  /// Nothing is awaited, companions included.
  bool idle() const { return written_.empty(); }
  /// The statement the next event belongs to; null when none is awaited.
  const statement* current() const;
  /// The same to keep; only when there is one.
  const statement_ptr& current_ptr() const;
  block_state block() const { return block_; }

private:
  enum class stage : std::uint8_t { preparing, running, answered };
  struct entry {
    std::uint64_t token;
    statement_ptr what;
    statement_ptr named; ///< it is prepared under this one's name
    int generation;      ///< 0: not prepared
    stage at;
    bool closes;
    bool companion;
    std::optional<std::uint64_t> expected;
    std::variant<result, db_failure> outcome;
  };
  /// One statement's prepared name on this connection. A name is never used twice for a Parse, so
  /// a new generation can be written while answers to the old one are on their way.
  struct prepared {
    statement_ptr owner; ///< of the name; owns nothing when that is static
    int generation = 0;
    bool usable = false;     ///< its Parse is written and has not failed as far as we know
    int failed = 0;          ///< the last generation whose Parse failed
    db_failure failure = {}; ///< with this
  };

  bool sync_due() const { return cursor_ > 0 && written_[cursor_ - 1].closes; }
  prepared* known(const entry& which);
  void forget(const entry& which);
  void answer(entry& which, std::variant<result, db_failure> outcome);
  void undo_before(std::size_t index, const db_failure& why);
  void note_end_of(const entry& which, const result& rows);

  std::size_t max_in_flight_;
  std::uint64_t last_token_ = 0;
  std::deque<entry> written_;
  std::size_t companions_ = 0;            ///< in written_
  std::size_t cursor_ = 0;                ///< the first in written_ that is not answered
  std::size_t committed_ = 0;             ///< of the first group, what a later error cannot undo
  std::optional<db_failure> group_error_; ///< of the first group
  std::optional<db_failure> refusing_;
  block_state block_ = block_state::none;
  std::string block_error_; ///< what made the block fail
  std::deque<finished> ready_;
  std::unordered_map<std::string_view, prepared> prepared_;
};

} // namespace troupe::db
