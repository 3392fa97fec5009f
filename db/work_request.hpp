// What may be asked of a unit of work, and what it answers. Values; std only, so that the caller's
// session and the actor that serves it share them.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/engine_requests.hpp"
#include "messages/errc.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe::db {

enum class isolation : std::uint8_t {
  server_default,
  read_committed,
  repeatable_read,
  serializable,
};

struct transaction_options {
  isolation level = isolation::server_default;
  bool read_only = false;
};

/// Opens the transaction at once; without it the first flush, query or savepoint does.
struct begin_work {
  transaction_options options;
};
/// Sends what is marked.
struct flush_work {};
/// Flushes and commits.
struct commit_work {};
struct rollback_work {};
/// Names are the caller's own and never reach the server; the innermost of a name counts.
struct set_savepoint {
  std::string name;
};
struct release_savepoint {
  std::string name;
};
struct rollback_to_savepoint {
  std::string name;
};
struct refresh_job {
  job_id id;
};
struct run_query {
  query what;
};
/// COPY TO STDOUT or FROM STDIN, on its own until it ends; answered then.
struct copy_rows {
  query what;
  bool in = false;
  std::uint64_t number = 0; ///< the caller's, for the steps
};
/// Of the open COPY; not of the state machine, which sees one statement that takes its time.
struct copy_step {
  enum class kind : std::uint8_t { next, put, end, cancel };
  std::uint64_t number;
  kind what;
  std::string bytes = {};
};
/// Writes a run's outcome into the transaction, fenced by its lease: errc::fenced aborts.
struct complete_run {
  finish_runs finish;
};
/// Sent by the state machine itself.
struct identify_work {};
struct recover_work {};
struct restore_work {};

using work_request =
    std::variant<begin_work, flush_work, commit_work, rollback_work, set_savepoint,
                 release_savepoint, rollback_to_savepoint, refresh_job, run_query, copy_rows,
                 copy_step, complete_run, identify_work, recover_work, restore_work>;

template<class T>
bool is(const work_request& request) {
  return std::holds_alternative<T>(request);
}

struct flushed_work {
  std::vector<job_id> added; ///< in the order of the adds since the last flush
  std::size_t removed = 0;
};
struct committed_work {
  std::vector<job_id> added;             ///< by the whole transaction, in the order of the adds
  std::vector<std::string> ready_queues; ///< where work is available at once
  std::optional<std::chrono::milliseconds> soonest; ///< until the first deferred job is due
};

/// commit -> committed_work, flush -> flushed_work, refresh -> job_record, run_query and copy_rows
/// -> result, copy_step::next -> its rows, the others -> monostate.
using work_reply =
    std::variant<std::monostate, flushed_work, committed_work, job_record, result, std::string>;

/// True for BEGIN, COMMIT, SAVEPOINT and the like, which belong to the session.
bool is_transaction_control(std::string_view text);

/// What opens a transaction's stream over the rows of `what`.
query as_stream(const query& what);

/// The same rows by COPY, in binary: for copied_rows.
query as_copy(const query& what);

/// True when the connection went away: nothing more can be asked of it.
bool is_loss(errc code);

} // namespace troupe::db
