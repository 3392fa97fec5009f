// A session: one caller's unit of work. add() and remove() only mark, cannot be awaited and reach
// the database with flush() or commit(); everything else answers, and an answer has to be used
// (messages/pending.hpp). Calls need not be awaited one by one: those that wait go out together.
// Destroyed, it carries out what was asked for, rolls the rest back and gives the connection back.
// For one thread at a time. An error inside a savepoint undoes what is inside; any other aborts,
// and every call says errc::aborted until rollback().
#pragma once

#include "db/page_query.hpp"
#include "db/work_request.hpp"
#include "launcher/rows.hpp"
#include "messages/handler.hpp"
#include "messages/pending.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe {

struct session_options {
  /// A transaction in which nothing is asked for so long is rolled back. Default: 30 s
  std::chrono::milliseconds idle_timeout{30'000};
  /// From its begin. Default: 10 min
  std::chrono::milliseconds max_duration{600'000};
  /// Look up what became of a commit whose answer was lost; costs one tiny statement in the first
  /// burst that is not the last. Default: true
  bool resolve = true;
};

/// Rows of a query, batch by batch, while its transaction is open: the next batch is fetched when
/// it is asked for.
class row_stream;
class copy_reader; // launcher/copy.hpp
class copy_writer;

class session {
public:
  session(session&&) noexcept;
  session& operator=(session&&) noexcept;
  ~session();

  /// Marks a job to be stored. Throws errc::invalid_argument for one that cannot be.
  void add(job_spec job);
  /// Marks a job to be removed. That it runs, or is not there, is told by the flush.
  void remove(job_id id);

  /// Only to choose how; else the first flush, query or savepoint begins.
  pending<void> begin(const db::transaction_options& how = {});
  pending<db::flushed_work> flush();
  /// errc::outcome_unknown: the answer was lost, and it could not be found out what became of it.
  pending<db::committed_work> commit();
  pending<void> rollback();
  /// Savepoints nest; of those with one name the innermost is meant.
  pending<void> savepoint(std::string name);
  pending<void> release(std::string name);
  /// Also forgets the marks made since.
  pending<void> rollback_to(std::string name);
  /// The job as this transaction sees it; errc::not_found.
  pending<job_record> refresh(job_id id);
  /// `sql` with $1, $2, ...; the arguments' types are theirs. What else a query can be told (its
  /// own time, rows it has to change, a page of it): db/query.hpp, db/page_query.hpp.
  template<class... Args>
  pending<rows> query(const std::string& sql, const Args&... args);
  pending<rows> query(db::query what);
  /// One at a time. `batch`: 100 or 1000 rows, whichever is nearer.
  row_stream stream(const db::query& what, int batch = 1000);
  /// COPY ... TO STDOUT and COPY ... FROM STDIN, at the pace of who reads or writes. While one is
  /// open all else but marks and the ways back is errc::conflict.
  copy_reader copy_out(db::query what);
  copy_writer copy_in(db::query what);
  template<class... Args>
  copy_reader copy_out(const std::string& sql, const Args&... args);
  template<class... Args>
  copy_writer copy_in(const std::string& sql, const Args&... args);

  /// errc::none until a call failed; the code of the first failure since the last rollback().
  errc first_failure() const;
  /// Something was committed.
  bool committed() const;

private:
  friend struct session_access;
  friend class row_stream;
  friend class copy_end;
  struct core;
  explicit session(std::shared_ptr<core> from);

  std::shared_ptr<core> core_;
};

class row_stream {
public:
  /// The next batch; empty after the last.
  pending<rows> next();

private:
  friend class session;
  row_stream(std::shared_ptr<session::core> from, db::query open, int batch);

  std::shared_ptr<session::core> core_;
  std::optional<db::query> open_;
  int batch_;
};

/// A savepoint that is rolled back unless it was released.
class savepoint_scope {
public:
  savepoint_scope(session& in, std::string name) : in_(&in), name_(std::move(name)) {
    in_->savepoint(name_).ignore(); // its failure is told by every call after it
  }
  savepoint_scope(const savepoint_scope&) = delete;
  savepoint_scope& operator=(const savepoint_scope&) = delete;
  ~savepoint_scope() {
    if (in_ == nullptr)
      return;
    in_->rollback_to(name_).ignore();
    in_->release(name_).ignore();
  }
  pending<void> release() { return std::exchange(in_, nullptr)->release(name_); }

private:
  session* in_;
  std::string name_;
};

/// Where sessions come from: the engine.
class session_source {
public:
  virtual ~session_source() = default;
  virtual session open(const session_options& options) = 0;
  virtual pending<void> pause(std::chrono::milliseconds time) = 0;
  virtual void count_retry() = 0;
};

/// The session of a running job, opened at the first call. What is done in it, the jobs it adds and
/// the run's completion commit together when the handler answers completed(); any other answer
/// rolls it back. errc::stopping once the run is over.
session& session_of(const job_run& run);

template<class... Args>
pending<rows> session::query(const std::string& sql, const Args&... args) {
  return query(db::make_query(sql, args...));
}

} // namespace troupe
