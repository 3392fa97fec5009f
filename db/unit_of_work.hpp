// The unit of work as a pure state machine: marks, savepoints, what each call sends and what its
// answers mean. No I/O: the UNIT OF WORK actor sends what plan() gives and hands the answers in, in
// order. One burst of calls is in flight at a time; an error settles it before the next is planned.
//
//   idle --first flush, query, savepoint--> active --commit, rollback--> idle
//   active --error inside a savepoint--> active, rolled back to it
//   active --any other error--> aborted     --rollback--> idle
//   active --commit's answer lost--> unknown --rollback--> idle
#pragma once

#include "db/work_request.hpp"

#include <deque>
#include <memory>

namespace troupe::db {

class unit_of_work {
public:
  enum class phase : std::uint8_t { idle, active, aborted, unknown };
  /// Marks that wait for a flush, or for the end of a savepoint that could undo theirs.
  static constexpr std::size_t max_marks = 100'000;
  /// Savepoints nest as deep as one likes; this only catches a loop that never releases.
  static constexpr int max_depth = 10'000;

  unit_of_work() = default;
  unit_of_work(unit_of_work&&) = default;
  unit_of_work& operator=(unit_of_work&&) = default;

  // Marks: nothing is sent. `seen` is how many failures the caller had heard of: what was asked
  // before a failure could be known is not carried out after it. Lost in phases aborted, unknown.
  void add(job_spec job, std::uint64_t seen);
  void remove(job_id id, std::uint64_t seen);

  /// False: keep the call until all that is in flight is answered.
  bool may_plan(const work_request& request) const;
  /// The same for a mark: they count in the order of asking.
  bool may_mark() const { return !barrier_ && !recover_ && !broken_; }
  struct planned {
    std::uint64_t call;
    std::vector<query> statements; ///< to be sent in this order; may be none
  };
  /// Takes a call in. What is refused, or needs no statement, is answered by next().
  planned plan(work_request request, std::uint64_t seen);
  /// To be sent at the end of a burst: asks for the transaction's number, while it is not known.
  std::vector<query> seal();
  /// To be sent before all else once nothing is in flight: the way back to the savepoint in which
  /// the failure was, or from a COPY to what held before it.
  std::vector<query> recovery();

  // The answers to all statements, in the order of sending.
  void take(result rows, std::string_view tag);
  void take(failure why);

  struct settled {
    std::uint64_t call;
    std::variant<failure, work_reply> outcome;
    std::uint64_t failures; ///< what its caller knows of with this answer
  };
  /// The next call that is answered.
  std::optional<settled> next();

  /// From outside: time is over. All that is in flight is answered as aborted; the caller gives the
  /// connection up.
  void abort(const failure& why);

  /// After phase unknown: what became of the transaction was found out. The receipt of a committed
  /// one lacks the ids of jobs whose flush was lost with it.
  committed_work resolved(bool committed);

  phase at() const { return phase_; }
  /// A commit is on its way: from here on only its answer tells how the transaction ended.
  bool committing() const;
  bool in_flight() const { return !calls_.empty(); }
  /// A connection is needed: a transaction is open, or what opens or ends one is on its way.
  bool holds_connection() const { return phase_ == phase::active || in_flight(); }
  std::uint64_t failures() const { return failures_; }
  /// Why the transaction is aborted, or why its outcome is unknown.
  const failure& reason() const { return reason_; }
  /// The transaction's number, of use while the outcome is unknown. Empty: not known.
  const std::string& transaction() const { return transaction_; }
  int depth() const { return stack_ ? stack_->depth : 0; }
  std::size_t marks() const { return marks_.size() - flushed_; }

private:
  struct mark {
    explicit mark(job_spec to_add) : what(std::move(to_add)) {}
    explicit mark(job_id to_remove) : what(to_remove) {}
    std::variant<job_spec, job_id> what;
    job_id stored; ///< of an added job, once it is flushed
  };
  /// One savepoint; `marks` and `flushed` are what rolling back to it leaves. Immutable and shared,
  /// so that every call in flight can remember the stack before it.
  struct frame {
    mutable std::shared_ptr<const frame> outer;
    std::string name;
    int depth;
    std::size_t marks;
    std::size_t flushed;
    frame(std::shared_ptr<const frame> around, std::string named, std::size_t marked,
          std::size_t in_database);
    frame(const frame&) = delete;
    frame& operator=(const frame&) = delete;
    ~frame();
  };
  struct snapshot {
    phase at;
    std::shared_ptr<const frame> stack;
    std::size_t marks;
    std::size_t flushed;
  };
  struct call {
    std::uint64_t number = 0; ///< 0: our own
    work_request request;
    snapshot before;
    std::size_t statements = 0;
    std::vector<result> rows;
    std::string tag; ///< of the last statement
    std::optional<failure> failed;
    std::size_t answered = 0;
    std::size_t begins = 0;   ///< the first statements: those that open the transaction
    std::size_t enqueues = 0; ///< the next ones
  };

  std::optional<failure> refusal(const work_request& request, std::uint64_t seen) const;
  void open(const transaction_options& options, call& made, std::vector<query>& into);
  void write_marks(call& made, std::vector<query>& into);
  std::shared_ptr<const frame> find(const std::string& name) const;
  void emit(call& made, std::vector<query>& into);
  call call_before(std::uint64_t number, work_request request) const;
  std::vector<query> own(work_request request, const statement& what);
  static failure aborted_by(const failure& why);
  void settle();
  bool lost() const;
  void settle_first();
  failure fail(const call& failed);
  std::variant<failure, work_reply> succeed(call& done);
  flushed_work note_stored(const call& done);
  void conclude();
  void forget_marks();
  void end(phase now, failure why);
  void compact();

  phase phase_ = phase::idle;
  failure reason_;
  std::string transaction_;
  std::shared_ptr<const frame> stack_;
  std::vector<mark> marks_;
  std::size_t flushed_ = 0;         ///< the first of marks_ that is not in the database
  std::optional<failure> bad_mark_; ///< told by the next flush
  committed_work receipt_;
  committed_work in_doubt_;

  std::deque<call> calls_;
  std::deque<settled> ready_;
  std::optional<failure> broken_; ///< the first failure of the burst that is being settled
  bool over_ = false;             ///< the server has ended the transaction
  bool barrier_ = false;          ///< nothing is planned behind the last call before its answer
  bool recover_ = false;
  bool restore_ = false; ///< a COPY took the statements' time limit away
  std::uint64_t last_call_ = 0;
  std::uint64_t failures_ = 0;
  std::uint64_t failures_seen_ = 0; ///< failures_ before the burst that is being settled
  std::uint64_t acknowledged_ = 0;  ///< failures that a rollback has answered
};

} // namespace troupe::db
