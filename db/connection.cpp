// Writing to a pipelined connection, and its end.
#include "db/connection.hpp"

#include "db/connection_impl.hpp"
#include "db/statements.hpp"

#include <libpq-fe.h>

#include <utility>

namespace troupe::db {

namespace {

std::string text_of(std::chrono::milliseconds value) {
  return std::to_string(value.count());
}

query settings_of(const connect_options& options) {
  query q{sql::transaction_settings};
  q.bind(text_of(options.statement_timeout))
      .bind(text_of(options.lock_timeout))
      .bind(text_of(options.idle_in_transaction_timeout));
  return q;
}

} // namespace

connection::impl::impl(pg_conn* connected, const connect_options& options)
    : raw(connected), pipe(options.max_in_flight), statement_timeout(options.statement_timeout),
      max_result_bytes(options.max_result_bytes), pooler(options.pooler),
      settings(settings_of(options)) {
  // Warnings are nobody's business here, but the last words of a server that ends an idle session
  // come as a notice as well.
  PQsetNoticeReceiver(
      raw.get(),
      [](void* self, const PGresult* notice) {
        auto error = error_of(notice);
        if (ends_session(error))
          static_cast<impl*>(self)->last_words = std::move(error);
      },
      this);
  if (PQsetnonblocking(raw.get(), 1) != 0 || PQenterPipelineMode(raw.get()) != 1)
    give_up(lost_before_sending({}, one_line(PQerrorMessage(raw.get()))));
}

void connection::impl::give_up(db_failure why) {
  if (broken)
    return;
  why.poisons_connection = true;
  broken = std::move(why);
  unsent = false;
  gathered.reset();
  pipe.on_lost(*broken);
  if (auto lost_copy = std::exchange(copy, std::nullopt)) {
    auto unknown = lost_after_sending(lost_copy->what->name, broken->message);
    unknown.sqlstate = broken->sqlstate;
    if (lost_copy->cancelled)
      unknown.code = errc::aborted;
    pipe.answer_outside({lost_copy->token, std::move(unknown)}, {});
  }
}

void connection::impl::lost() {
  if (last_words)
    give_up(classify(*last_words, {}));
  else
    give_up(lost_before_sending({}, one_line(PQerrorMessage(raw.get()))));
}

void connection::impl::out_of_step(const char* what) {
  auto why = lost_before_sending({}, std::string{"the connection is out of step: "} + what);
  why.code = errc::internal;
  give_up(std::move(why));
}

void connection::impl::flush() {
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
bool connection::impl::write(const query& what, const pipeline::order& order) {
  auto parameters = what.parameters();
  auto count = static_cast<int>(what.size());
  const char* text = what.what().text;
  const auto* oids = what.oids().data();
  const auto* values = parameters.values.data();
  const auto* lengths = what.lengths().data();
  const auto* formats = parameters.formats.data();
  const char* name = order.name.c_str();
  unsent_bytes += what.bytes();
  if (order.name.empty())
    return PQsendQueryParams(raw.get(), text, count, oids, values, lengths, formats, 1) == 1;
  if (order.prepare && PQsendPrepare(raw.get(), name, text, count, oids) != 1)
    return false;
  return PQsendQueryPrepared(raw.get(), name, count, values, lengths, formats, 1) == 1;
}

/// Who waits for a long group has to see that it goes on, but the server tells what it has only at
/// the sync, or when it is asked: that costs it a system call, and us one to read. So it is asked
/// between two statements that may take their time, and not before the last one of the group. Reads
/// of the engine are quick.
void connection::impl::ask_for_progress(const statement& next, sync_point after) {
  if (next.brief || next.reads || after == sync_point::now || broken || !std::exchange(works, true))
    return;
  if (PQsendFlushRequest(raw.get()) != 1)
    lost();
}

/// Costs a system call: libpq sends with each sync.
void connection::impl::sync() {
  works = false;
  if (!broken && PQpipelineSync(raw.get()) != 1)
    lost();
}

void connection::impl::close_group() {
  bool open = pipe.group_open();
  pipe.close_group();
  if (open)
    sync();
}

void connection::impl::write_companion(const query& what, sync_point after) {
  if (broken)
    return;
  // Parsed anew: a prepared one could have been skipped in a group that failed meanwhile.
  auto order =
      pipe.enter({.what = what.what_ptr(), .after = after, .companion = true, .parse_anew = true});
  if (!write(what, order))
    lost();
  else if (after == sync_point::now)
    sync();
}

std::uint64_t connection::impl::write_main(const query& what, sync_point after) {
  ask_for_progress(what.what(), after);
  // Or a companion found the connection dead.
  if (broken)
    return refuse(lost_before_sending(what.what().name, broken->message), after);
  auto order = pipe.enter({.what = what.what_ptr(),
                           .after = after,
                           .as = pooler || what.what().prepared ? nullptr : kept.find(what),
                           .parse_anew = pooler,
                           .expected = what.expected()});
  if (&what.what() == &sql::session_deallocate) {
    pipe.forget_all();
    kept.clear();
  }
  if (!write(what, order))
    lost();
  else if (after == sync_point::now)
    sync();
  return order.token;
}

std::uint64_t connection::impl::refuse(db_failure why, sync_point after) {
  auto token = pipe.refuse(std::move(why), after);
  if (after == sync_point::now)
    close_group();
  return token;
}

/// Why `what` is not even written, if so.
std::optional<db_failure> connection::impl::objection(const query& what) {
  const char* name = what.what().name;
  auto refusal = [name](errc code, const std::string& message) {
    auto failure = lost_before_sending(name, message);
    failure.code = code;
    failure.retryable = code != errc::invalid_argument;
    failure.poisons_connection = false;
    return failure;
  };
  if (copy) {
    auto failure = refusal(errc::conflict, "a COPY is under way on this connection");
    failure.retryable = false;
    return failure;
  }
  if (const auto* why = pipe.refusing()) {
    auto failure = *why;
    failure.statement = name;
    return failure;
  }
  if (what.size() > query::max_parameters || what.bytes() > query::max_bytes)
    return refusal(errc::invalid_argument, "the parameters of one statement are limited to "
                                               + std::to_string(query::max_bytes) + " bytes");
  if (pipe.full())
    return refusal(errc::overloaded, std::to_string(pipe.in_flight())
                                         + " statements wait for their answer on this connection");
  if (unsent_bytes > 0 && unsent_bytes + what.bytes() > max_unsent_bytes)
    return refusal(errc::overloaded, "too many bytes wait to be sent on this connection");
  if (!broken && PQstatus(raw.get()) == CONNECTION_BAD)
    lost();
  if (broken)
    return lost_before_sending(name, broken->message);
  return std::nullopt;
}

/// Behind a pooler, at the beginning of each transaction. From a BEGIN on, until all is answered
/// and no block is open, nothing more is sent: in a failed block it would stand before the
/// ROLLBACK.
bool connection::impl::needs_settings(const query& what) {
  if (!pooler)
    return false;
  if (pipe.idle())
    may_be_in_block = pipe.block() != block_state::none;
  bool begins = opens_block(what.what());
  bool needed = !may_be_in_block && (begins || !pipe.group_open());
  may_be_in_block = may_be_in_block || begins;
  return needed;
}

connection::connection(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
connection::connection(connection&&) noexcept = default;
connection& connection::operator=(connection&&) noexcept = default;
connection::~connection() = default;

connection connection::adopt(pg_conn* raw, const connect_options& options) {
  return connection{std::make_unique<impl>(raw, options)};
}

int connection::socket() const {
  return impl_->broken ? -1 : PQsocket(impl_->raw.get());
}

std::uint64_t connection::submit(const query& what, sync_point after) {
  auto& self = *impl_;
  if (auto why = self.objection(what))
    return self.refuse(std::move(*why), after);
  const bool begins = opens_block(what.what());
  self.begun_read_only =
      &what.what() == &sql::transaction_read_only || (self.begun_read_only && !begins);
  const bool settings = self.needs_settings(what);
  const auto limit = what.timeout();
  const bool timed = !begins && limit.count() > 0 && limit != self.statement_timeout;
  if (settings && !begins)
    self.write_companion(self.settings, sync_point::later);
  if (timed) {
    query set{sql::timeout_set};
    set.bind(text_of(limit));
    self.write_companion(set, sync_point::later);
  }
  // BEGIN comes first: its isolation level could not be set after another statement.
  const bool followed = timed || (settings && begins);
  auto token = self.write_main(what, followed ? sync_point::later : after);
  if (timed)
    self.write_companion(query{sql::timeout_restore}, after);
  else if (followed)
    self.write_companion(self.settings, after);
  return token;
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
  // Who does not take what came wants no more of it for now.
  if (copy_waits())
    return;
  bool alive = true;
  // What came before the loss still counts.
  if (self.copy) {
    alive = self.read_rows();
  } else {
    alive = PQconsumeInput(self.raw.get()) == 1;
    self.collect();
  }
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
  return impl_->pipe.in_flight() + (impl_->copy ? 1 : 0);
}

bool connection::wants_deallocation() const {
  return impl_->kept.full();
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
