// Reading a pipelined connection: libpq's results become events of the bookkeeping. Limits: an
// answer above max_result_bytes is not handed on.
#include "db/connection_impl.hpp"

#include <libpq-fe.h>

#include <utility>

namespace troupe::db {

namespace {

/// libpq gives an empty result between two answers; more in a row while statements are outstanding
/// mean that it lost track (a server that died in the middle).
constexpr int most_empty_reads = 3;

std::string field(const PGresult* raw, int which) {
  const char* text = PQresultErrorField(raw, which);
  return text ? text : "";
}

db_failure too_large_for(std::size_t limit, const statement& what) {
  db_failure why;
  why.code = errc::too_large;
  why.statement = what.name;
  why.message = "the answer is larger than " + std::to_string(limit)
                + " bytes; ask for fewer rows, or stream them";
  return why;
}

/// He wrote in a transaction that he began read only: another connection would not help.
db_failure of_readers_own(db_failure why) {
  why.code = errc::conflict;
  why.retryable = why.poisons_connection = false;
  return why;
}

} // namespace

void clear_result::operator()(pg_result* raw) const {
  PQclear(raw);
}

server_error error_of(const PGresult* raw) {
  return {field(raw, PG_DIAG_SQLSTATE),        field(raw, PG_DIAG_SEVERITY_NONLOCALIZED),
          field(raw, PG_DIAG_MESSAGE_PRIMARY), field(raw, PG_DIAG_MESSAGE_DETAIL),
          field(raw, PG_DIAG_CONSTRAINT_NAME), field(raw, PG_DIAG_SOURCE_FUNCTION)};
}

/// libpq tells it only when nothing more is on its way.
std::optional<block_state> connection::impl::told_block() const {
  switch (PQtransactionStatus(raw.get())) {
  case PQTRANS_IDLE:
    return block_state::none;
  case PQTRANS_INTRANS:
    return block_state::open;
  case PQTRANS_INERROR:
    return block_state::failed;
  default:
    return std::nullopt;
  }
}

/// True when the transaction takes no writes because it was told so, and the server would. A pooler
/// does not tell of the server behind it.
bool connection::impl::read_only_by_choice() const {
  const auto is_off = [this](const char* parameter) {
    const char* value = PQparameterStatus(raw.get(), parameter);
    return value && std::string_view{value} == "off";
  };
  return begun_read_only
         || (!pooler && is_off("in_hot_standby") && is_off("default_transaction_read_only"));
}

bool connection::impl::take_error(const PGresult* answer) {
  auto error = error_of(answer);
  // Without a SQLSTATE it is libpq that speaks: it cannot go on.
  if (error.sqlstate.empty()) {
    lost();
    return true;
  }
  const auto* what = pipe.current();
  auto failure = classify(error, what ? what->name : "");
  if (failure.sqlstate == "25006" && read_only_by_choice())
    failure = of_readers_own(std::move(failure));
  if (ends_session(error)) {
    give_up(std::move(failure));
    return true;
  }
  return pipe.on_error(std::move(failure), invalidates_prepared(error));
}

bool connection::impl::take_rows(result_handle answer) {
  const auto* what = pipe.current();
  if (!what)
    return false;
  std::optional<db_failure> withheld;
  if (too_large || PQresultMemorySize(answer.get()) > max_result_bytes)
    withheld = too_large_for(max_result_bytes, *what);
  auto* completion = answer.release();
  return pipe.on_result(gathered ? result{gathered.release(), completion, pipe.current_ptr()}
                                 : result{completion, pipe.current_ptr()},
                        std::move(withheld));
}

/// Above the limit the rest is read and dropped: the connection lives on, and the statement's time
/// bounds how long that takes.
bool connection::impl::take_one_row(const PGresult* answer) {
  if (too_large)
    return true;
  if (!gathered) {
    gathered.reset(PQcopyResult(answer, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES));
  } else {
    int row = PQntuples(gathered.get());
    for (int column = 0; column < PQnfields(answer); ++column) {
      bool null = PQgetisnull(answer, 0, column) != 0;
      if (!PQsetvalue(gathered.get(), row, column, null ? nullptr : PQgetvalue(answer, 0, column),
                      null ? -1 : PQgetlength(answer, 0, column)))
        throw std::bad_alloc{};
    }
  }
  if (!gathered)
    throw std::bad_alloc{};
  if (PQresultMemorySize(gathered.get()) > max_result_bytes) {
    too_large = true;
    gathered.reset();
  }
  return true;
}

bool connection::impl::take(result_handle answer) {
  auto status = PQresultStatus(answer.get());
  if (status == PGRES_SINGLE_TUPLE)
    return pipe.current() && take_one_row(answer.get());
  bool fits = false;
  switch (status) {
  case PGRES_TUPLES_OK:
  case PGRES_COMMAND_OK:
  case PGRES_EMPTY_QUERY:
    fits = take_rows(std::move(answer));
    break;
  case PGRES_PIPELINE_SYNC:
    fits = pipe.on_sync(told_block());
    break;
  case PGRES_PIPELINE_ABORTED:
    fits = pipe.on_aborted();
    break;
  case PGRES_FATAL_ERROR:
  case PGRES_NONFATAL_ERROR:
  case PGRES_BAD_RESPONSE:
    fits = take_error(answer.get());
    break;
  default: // COPY does not fit a pipeline
    break;
  }
  by_rows = too_large = false;
  gathered.reset();
  return fits;
}

/// Has to be said before libpq looks at the first row.
void connection::impl::read_by_rows() {
  if (by_rows)
    return;
  const auto* what = pipe.current();
  if (what != nullptr && what->by_rows)
    by_rows = PQsetSingleRowMode(raw.get()) == 1;
}

/// Takes what libpq has whole, until it needs more bytes or has nothing to say.
void connection::impl::collect() {
  int empty_reads = 0;
  for (;;) {
    read_by_rows();
    if (broken || PQisBusy(raw.get()))
      break;
    result_handle answer{PQgetResult(raw.get())};
    if (!answer) {
      if (!pipe.current()) // or all of an open group is answered, whose sync is not written
        break;
      if (++empty_reads == most_empty_reads)
        out_of_step("no answer where one was due");
      continue;
    }
    empty_reads = 0;
    if (!take(std::move(answer)))
      out_of_step("an answer that nothing was asked for");
  }
  while (PGnotify* note = PQnotifies(raw.get())) {
    notes.push_back({note->relname, note->extra});
    PQfreemem(note);
  }
}

} // namespace troupe::db
