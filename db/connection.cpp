#include "db/connection.hpp"

#include "db/dial.hpp"

#include <libpq-fe.h>

#include <utility>

namespace troupe::db {

namespace {

/// libpq gives an empty result between two answers; more in a row while statements are outstanding
/// mean that it lost track (a server that died in the middle).
constexpr int most_empty_reads = 3;

struct clear_result {
  void operator()(PGresult* raw) const { PQclear(raw); }
};
using result_handle = std::unique_ptr<PGresult, clear_result>;

std::string field(const PGresult* raw, int which) {
  const char* text = PQresultErrorField(raw, which);
  return text ? text : "";
}

server_error error_of(const PGresult* raw) {
  return {field(raw, PG_DIAG_SQLSTATE),        field(raw, PG_DIAG_SEVERITY_NONLOCALIZED),
          field(raw, PG_DIAG_MESSAGE_PRIMARY), field(raw, PG_DIAG_MESSAGE_DETAIL),
          field(raw, PG_DIAG_CONSTRAINT_NAME), field(raw, PG_DIAG_SOURCE_FUNCTION)};
}

} // namespace

struct connection::impl {
  impl(pg_conn* connected, std::size_t max_in_flight) : raw(connected), pipe(max_in_flight) {
    PQsetNoticeReceiver(raw.get(), &impl::on_notice, this);
    if (PQsetnonblocking(raw.get(), 1) != 0 || PQenterPipelineMode(raw.get()) != 1)
      give_up(lost_before_sending({}, one_line(PQerrorMessage(raw.get()))));
  }

  /// Warnings are nobody's business here, but the last words of a server that ends an idle session
  /// come as a notice as well.
  static void on_notice(void* self, const PGresult* notice) {
    auto error = error_of(notice);
    if (ends_session(error))
      static_cast<impl*>(self)->last_words = std::move(error);
  }

  void give_up(db_failure why) {
    if (broken)
      return;
    why.poisons_connection = true;
    broken = std::move(why);
    unsent = false;
    pipe.on_lost(*broken);
  }

  void lost() {
    if (last_words)
      give_up(classify(*last_words, {}));
    else
      give_up(lost_before_sending({}, one_line(PQerrorMessage(raw.get()))));
  }

  void out_of_step(const char* what) {
    auto why = lost_before_sending({}, std::string{"the connection is out of step: "} + what);
    why.code = errc::internal;
    give_up(std::move(why));
  }

  void flush() {
    if (broken)
      return;
    switch (PQflush(raw.get())) {
    case 0:
      unsent = false;
      unsent_bytes = 0;
      break;
    case 1:
      unsent = true;
      break;
    default:
      lost();
    }
  }

  /// libpq buffers the statement; false when it would not take it.
  bool write(const query& what, const pipeline::order& order) {
    auto parameters = what.parameters();
    auto count = static_cast<int>(what.size());
    const char* text = what.what().text;
    const auto* oids = what.oids().data();
    const auto* values = parameters.values.data();
    const auto* lengths = what.lengths().data();
    const auto* formats = parameters.formats.data();
    const char* name = order.name.c_str();
    if (order.name.empty())
      return PQsendQueryParams(raw.get(), text, count, oids, values, lengths, formats, 1) == 1;
    if (order.prepare && PQsendPrepare(raw.get(), name, text, count, oids) != 1)
      return false;
    return PQsendQueryPrepared(raw.get(), name, count, values, lengths, formats, 1) == 1;
  }

  /// Costs a system call: libpq sends with each sync.
  void sync() {
    if (!broken && PQpipelineSync(raw.get()) != 1)
      lost();
  }

  void close_group() {
    bool open = pipe.group_open();
    pipe.close_group();
    if (open)
      sync();
  }

  std::uint64_t refuse(db_failure why, sync_point after) {
    auto token = pipe.refuse(std::move(why), after);
    if (after == sync_point::now)
      close_group();
    return token;
  }

  /// Why `what` is not even written, if so.
  std::optional<db_failure> objection(const query& what) {
    const char* name = what.what().name;
    auto refusal = [name](errc code, const std::string& message) {
      auto failure = lost_before_sending(name, message);
      failure.code = code;
      failure.retryable = code != errc::invalid_argument;
      failure.poisons_connection = false;
      return failure;
    };
    if (const auto* why = pipe.refusing()) {
      auto failure = *why;
      failure.statement = name;
      return failure;
    }
    if (what.size() > query::max_parameters || what.bytes() > query::max_bytes)
      return refusal(errc::invalid_argument, "the parameters of one statement are limited to "
                                                 + std::to_string(query::max_bytes) + " bytes");
    if (pipe.full())
      return refusal(errc::overloaded,
                     std::to_string(pipe.in_flight())
                         + " statements wait for their answer on this connection");
    if (unsent_bytes > 0 && unsent_bytes + what.bytes() > max_unsent_bytes)
      return refusal(errc::overloaded, "too many bytes wait to be sent on this connection");
    if (!broken && PQstatus(raw.get()) == CONNECTION_BAD)
      lost();
    if (broken)
      return lost_before_sending(name, broken->message);
    return std::nullopt;
  }

  /// libpq tells it only when nothing more is on its way.
  std::optional<block_state> told_block() const {
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

  bool take_error(const PGresult* answer) {
    auto error = error_of(answer);
    // Without a SQLSTATE it is libpq that speaks: it cannot go on.
    if (error.sqlstate.empty()) {
      lost();
      return true;
    }
    const auto* what = pipe.current();
    auto failure = classify(error, what ? what->name : "");
    if (ends_session(error)) {
      give_up(std::move(failure));
      return true;
    }
    return pipe.on_error(std::move(failure), invalidates_prepared(error));
  }

  bool take(result_handle answer) {
    switch (PQresultStatus(answer.get())) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
      return pipe.current() && pipe.on_result(result{answer.release(), pipe.current_ptr()});
    case PGRES_PIPELINE_SYNC:
      return pipe.on_sync(told_block());
    case PGRES_PIPELINE_ABORTED:
      return pipe.on_aborted();
    case PGRES_FATAL_ERROR:
    case PGRES_NONFATAL_ERROR:
    case PGRES_BAD_RESPONSE:
      return take_error(answer.get());
    default: // COPY does not fit a pipeline
      return false;
    }
  }

  /// Takes what libpq has whole, until it needs more bytes or has nothing to say.
  void collect() {
    int empty_reads = 0;
    while (!broken && !PQisBusy(raw.get())) {
      result_handle answer{PQgetResult(raw.get())};
      if (!answer) {
        if (pipe.in_flight() == 0)
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

  connection_handle raw;
  pipeline pipe;
  std::deque<notification> notes;
  std::optional<server_error> last_words;
  std::optional<db_failure> broken;
  std::size_t unsent_bytes = 0;
  bool unsent = false;
};

connection::connection(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
connection::connection(connection&&) noexcept = default;
connection& connection::operator=(connection&&) noexcept = default;
connection::~connection() = default;

connection connection::adopt(pg_conn* raw, std::size_t max_in_flight) {
  return connection{std::make_unique<impl>(raw, max_in_flight)};
}

int connection::socket() const {
  return impl_->broken ? -1 : PQsocket(impl_->raw.get());
}

std::uint64_t connection::submit(const query& what, sync_point after) {
  auto& self = *impl_;
  if (auto why = self.objection(what))
    return self.refuse(std::move(*why), after);
  auto order = self.pipe.enter({.what = what.what_ptr(), .after = after});
  self.unsent_bytes += what.bytes();
  if (!self.write(what, order))
    self.lost();
  else if (after == sync_point::now)
    self.sync();
  return order.token;
}

void connection::flush() {
  impl_->close_group();
  impl_->flush();
}

void connection::on_writable() {
  impl_->flush();
}

bool connection::wants_write() const {
  return impl_->unsent;
}

void connection::on_readable() {
  auto& self = *impl_;
  if (self.broken)
    return;
  bool alive = PQconsumeInput(self.raw.get()) == 1;
  // What came before the loss still counts.
  self.collect();
  if (!alive)
    self.lost();
  else if (self.unsent)
    self.flush();
}

std::optional<finished> connection::next() {
  return impl_->pipe.next();
}

std::optional<notification> connection::next_notification() {
  auto& notes = impl_->notes;
  if (notes.empty())
    return std::nullopt;
  auto first = std::move(notes.front());
  notes.pop_front();
  return first;
}

std::size_t connection::in_flight() const {
  return impl_->pipe.in_flight();
}

bool connection::full() const {
  return impl_->pipe.full();
}

bool connection::broken() const {
  return impl_->broken.has_value();
}

const db_failure& connection::why_broken() const {
  static const db_failure none{};
  return impl_->broken ? *impl_->broken : none;
}

std::vector<finished> connection::abandon(const std::string& why) {
  impl_->give_up(lost_before_sending({}, why));
  std::vector<finished> answers;
  while (auto answer = next())
    answers.push_back(std::move(*answer));
  return answers;
}

block_state connection::block() const {
  return impl_->pipe.block();
}

int connection::server_version() const {
  return PQserverVersion(impl_->raw.get());
}

int connection::backend_pid() const {
  return PQbackendPID(impl_->raw.get());
}

} // namespace troupe::db
