// UNIT OF WORK: one caller's transaction over a connection of its own, as db/unit_of_work says.
// Spawned for a session, asked by it; borrows from POOL at the first statement and gives back after
// the end of the transaction. One burst is in flight at a time; calls gather meanwhile and go as
// the next one. DESK knows it, wakes it to look at the time, and ends it with the engine.
// Bounds: max_waiting calls, max_burst statements, idle_timeout, max_duration. However it ends, the
// loan goes with it, and what was open is rolled back.
#pragma once

#include "actors/pg_protocol.hpp"
#include "actors/work_protocol.hpp"
#include "db/unit_of_work.hpp"
#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <map>

namespace troupe {

using unit_of_work_impl = unit_of_work_actor::extend<
    caf::reacts_to<flush_atom>,                // INTERNAL: send what has gathered
    caf::reacts_to<dial_atom, std::uint64_t>>; // INTERNAL: ask again what became of transaction N

struct unit_of_work_state {
  static inline const char* name = "unit of work";
  /// Bytes and steps of a COPY that wait for the one its connection has.
  static constexpr std::size_t max_copy_bytes = std::size_t{16} * 1024 * 1024;
  static constexpr std::size_t max_copy_steps = 64;
  /// Calls and marks that wait for the burst in flight.
  static constexpr std::size_t max_waiting = 100'000;
  /// Statements in one burst.
  static constexpr std::size_t max_burst = 256;
  /// Room is made for so many at once.
  static constexpr std::size_t usual_burst = 8;
  /// How long, and how soon after each other, the server is asked what became of a commit whose
  /// answer was lost: its process may not have noticed yet that we are gone.
  static constexpr std::chrono::milliseconds inquiry_limit{15'000};
  static constexpr std::chrono::milliseconds inquiry_pause{250};

  using time_point = std::chrono::steady_clock::time_point; // of the actor's clock

  unit_of_work_state() = default;
  unit_of_work_state(const unit_of_work_state&) = delete;
  unit_of_work_state& operator=(const unit_of_work_state&) = delete;
  /// Whatever ended the actor: an open transaction was abandoned.
  ~unit_of_work_state();

  struct taken {
    work_call_ptr call;
    bool commits;
  };

  /// The COPY that was planned and is not answered. Nothing else goes out meanwhile.
  struct open_copy {
    std::uint64_t number; ///< its session's
    copy_start start;
    bool begun = false;                   ///< its connection has it
    bool closed = false;                  ///< its session asks no more of it
    bool cancelled = false;               ///< it is to end at once
    bool ending = false;                  ///< its connection knows
    work_call_ptr asked = {};             ///< the step that its connection has
    std::deque<work_call_ptr> steps = {}; ///< that wait
    std::size_t bytes = 0;                ///< in them
  };

  work_peers peers;
  work_options options;
  std::uint64_t number = 0; ///< DESK's for it
  db::unit_of_work work;
  std::deque<work_message> waiting;
  std::map<std::uint64_t, taken> calls; ///< taken in, not answered
  std::vector<db::query> burst;         ///< planned, not sent
  bool sent = false;                    ///< a burst is on its way
  std::optional<open_copy> copy;
  bool flush_sent = false;
  bool closing = false; ///< its session is gone: finish what was asked, then end

  loan_ptr loan;
  bool borrowing = false;
  bool kept = false;      ///< a moment beyond the transaction's end, once
  std::uint64_t life = 0; ///< of the loan; answers of an earlier one are ignored
  bool begun = false;     ///< counted as a transaction
  time_point begun_at;
  time_point touched_at;

  std::vector<db::unit_of_work::settled> in_doubt; ///< kept until the outcome is known
  std::optional<time_point> inquiry_ends;
};

unit_of_work_impl::behavior_type
unit_of_work(unit_of_work_impl::stateful_pointer<unit_of_work_state> self, work_peers peers,
             work_options options);

} // namespace troupe
