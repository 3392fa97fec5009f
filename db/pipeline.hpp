// The bookkeeping of a pipelined connection, without a socket: which statement the next event of
// the wire belongs to, which prepared names exist, who is answered with what. Every statement has a
// sync of its own, so an error concerns only that one, and is answered only at its sync: until then
// its commit is not known. Bound: max_in_flight; above it a statement is refused as overloaded.
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

class pipeline {
public:
  static constexpr std::size_t default_max_in_flight = 1024;

  explicit pipeline(std::size_t max_in_flight = default_max_in_flight);

  /// What to write for a statement: a Parse first when `prepare`, then the execution of `name`,
  /// then a sync.
  struct order {
    std::uint64_t token;
    std::string name;
    bool prepare;
  };
  /// Takes a statement in. The caller writes it before entering the next. Requires !full().
  order enter(const statement& what);
  /// Gives a token to a statement that is not written, and answers it with `why`.
  std::uint64_t refuse(db_failure why);

  // What the wire said, in its order. False when the event does not fit what was written: then
  // nothing more can be believed and the connection has to be given up.
  /// A Parse succeeded, or a statement gave its rows or its completion.
  [[nodiscard]] bool on_result(result rows);
  /// A step failed. `forget`: the prepared statement is gone or outdated.
  [[nodiscard]] bool on_error(db_failure why, bool forget = false);
  /// A step was skipped because an earlier one of the same statement failed.
  [[nodiscard]] bool on_aborted();
  /// The statement's sync: its answer is final now.
  [[nodiscard]] bool on_sync();
  /// The connection is gone. What was written and not finished is answered: errors stand, all else
  /// is errc::outcome_unknown.
  void on_lost(const db_failure& why);

  /// The next answer that is ready.
  std::optional<finished> next();

  std::size_t in_flight() const { return written_.size(); }
  bool full() const { return written_.size() >= max_in_flight_; }
  /// The statement the next event belongs to; null when none is awaited.
  const statement* current() const;

private:
  enum class stage : std::uint8_t { preparing, running, answered };
  struct entry {
    std::uint64_t token;
    const statement* what;
    int generation;
    stage at;
    std::variant<result, db_failure> outcome;
  };
  /// One statement's prepared name on this connection. A name is never used twice for a Parse, so
  /// a new generation can be written while answers to the old one are on their way.
  struct prepared {
    int generation = 0;
    bool usable = false; ///< its Parse is written and has not failed as far as we know
    int failed = 0;      ///< the last generation whose Parse failed
    db_failure failure;  ///< with this
  };

  std::size_t max_in_flight_;
  std::uint64_t last_token_ = 0;
  std::deque<entry> written_;
  std::deque<finished> ready_;
  std::unordered_map<std::string_view, prepared> prepared_;
};

} // namespace troupe::db
