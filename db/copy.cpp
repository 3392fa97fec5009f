// COPY over a connection that leaves its pipeline for so long: rows out at the reader's pace, rows
// in as far as the socket takes them. Bound: one chunk out, one put beyond what the socket holds.
#include "db/connection_impl.hpp"
#include "db/literals.hpp"

#include <libpq-fe.h>

#include <utility>

namespace troupe::db {

bool connection::impl::begin_copy(const std::string& text) {
  if (PQexitPipelineMode(raw.get()) != 1 || PQsendQuery(raw.get(), text.c_str()) != 1) {
    lost();
    return false;
  }
  flush();
  return !broken;
}

void connection::impl::read_copy() {
  while (copy && copy->at != copy_state::in && copy->at != copy_state::out
         && !PQisBusy(raw.get())) {
    result_handle answer{PQgetResult(raw.get())};
    if (copy->at == copy_state::starting)
      take_copy_start(std::move(answer));
    else
      take_copy_end(std::move(answer));
  }
  if (copy && copy->at == copy_state::out)
    fill_chunk();
}

void connection::impl::take_copy_start(result_handle answer) {
  switch (PQresultStatus(answer.get())) {
  case PGRES_COPY_OUT:
    way = copy->at = copy_state::out;
    if (copy->cancelled)
      give_up(lost_before_sending({}, *copy->cancelled));
    return;
  case PGRES_COPY_IN:
    way = copy->at = copy_state::in;
    if (copy->cancelled)
      end_copy_in(copy->cancelled->c_str());
    return;
  default:
    copy->at = copy_state::ending;
    take_copy_end(std::move(answer));
  }
}

void connection::impl::take_copy_end(result_handle answer) {
  if (!answer)
    return leave_copy();
  switch (PQresultStatus(answer.get())) {
  case PGRES_COMMAND_OK:
    if (!copy->outcome)
      copy->outcome = result{answer.release(), copy->what};
    return;
  case PGRES_FATAL_ERROR: {
    auto error = error_of(answer.get());
    if (error.sqlstate.empty())
      return lost();
    auto why = classify(error, copy->what->name);
    if (const char* where = PQresultErrorField(answer.get(), PG_DIAG_CONTEXT))
      why.message += " (" + one_line(where) + ")"; // the row: "COPY t, line 3"
    if (ends_session(error))
      return give_up(std::move(why));
    if (copy->cancelled) {
      why.code = errc::aborted;
      why.message = *copy->cancelled;
    }
    if (!copy->outcome || std::holds_alternative<result>(*copy->outcome))
      copy->outcome = std::move(why);
    return;
  }
  default:
    out_of_step("the text of a COPY did something else as well");
  }
}

void connection::impl::leave_copy() {
  if (PQenterPipelineMode(raw.get()) != 1)
    return lost();
  auto done = *std::exchange(copy, std::nullopt);
  if (!done.outcome) {
    auto why = lost_before_sending(done.what->name, "the COPY ended without a word");
    why.code = errc::internal;
    done.outcome = std::move(why);
  }
  pipe.answer_outside({done.token, std::move(*done.outcome)}, told_block());
}

/// As much of a chunk as has come; false when the connection is lost.
bool connection::impl::read_rows() {
  for (;;) {
    const auto before = copy->chunk.size();
    const bool alive = PQconsumeInput(raw.get()) == 1;
    read_copy();
    if (!alive)
      return false;
    if (!copy || copy->at != copy_state::out || copy->chunk.size() == before
        || copy->chunk.size() >= copy_chunk_size)
      return true;
  }
}

/// Whole rows from libpq's buffer; reads nothing from the socket.
void connection::impl::fill_chunk() {
  copy->chunk.reserve(copy_chunk_size);
  while (copy && copy->chunk.size() < copy_chunk_size) {
    char* row = nullptr;
    const int size = PQgetCopyData(raw.get(), &row, 1);
    if (size == 0)
      return;
    if (size > 0) {
      std::unique_ptr<char, void (*)(void*)> owned{row, PQfreemem};
      copy->chunk.append(row, static_cast<std::size_t>(size));
      continue;
    }
    if (size == -2)
      return lost();
    copy->at = copy_state::ending;
    if (copy->chunk.empty())
      read_copy();
    return;
  }
}

void connection::impl::end_copy_in(const char* error) {
  copy->at = copy_state::ending;
  if (PQputCopyEnd(raw.get(), error) == 1)
    flush();
  else
    lost();
}

std::uint64_t connection::copy(const query& what) {
  auto& self = *impl_;
  if (auto why = self.objection(what))
    return self.refuse(std::move(*why), sync_point::now);
  auto refuse = [&](errc code, const std::string& message) {
    auto why = lost_before_sending(what.what().name, message);
    why.code = code;
    why.retryable = why.poisons_connection = false;
    return self.pipe.refuse(std::move(why));
  };
  if (!self.pipe.idle() || self.unsent)
    return refuse(errc::conflict, "a COPY needs a connection with nothing in flight");
  if (!is_copy(what.what()))
    return refuse(errc::invalid_argument, "this is no COPY statement");
  auto text = with_literals(self.raw.get(), what);
  if (auto* why = std::get_if<db_failure>(&text))
    return self.pipe.refuse(std::move(*why));
  const auto token = self.pipe.next_token();
  self.way = copy_state::starting;
  self.copy.emplace(impl::copying{token, what.what_ptr()});
  self.begin_copy(std::get<std::string>(text));
  return token;
}

connection::copy_state connection::copying() const {
  return impl_->copy ? impl_->copy->at : copy_state::none;
}

connection::copy_state connection::copy_way() const {
  return impl_->way;
}

std::optional<std::string> connection::copy_chunk() {
  auto& self = *impl_;
  if (!self.copy || self.copy->chunk.empty())
    return std::nullopt;
  auto chunk = std::exchange(self.copy->chunk, {});
  if (self.copy->at == copy_state::out)
    self.fill_chunk();
  else
    self.read_copy(); // the end may have come already
  return chunk;
}

bool connection::copy_waits() const {
  const auto& copy = impl_->copy;
  return copy
         && (copy->chunk.size() >= copy_chunk_size
             || (copy->at == copy_state::ending && !copy->chunk.empty()));
}

bool connection::copy_put(std::string_view bytes) {
  auto& self = *impl_;
  if (copying() != copy_state::in || self.unsent || bytes.size() > max_copy_put)
    return false;
  if (PQputCopyData(self.raw.get(), bytes.data(), static_cast<int>(bytes.size())) != 1) {
    self.lost();
    return false;
  }
  self.flush();
  return true;
}

void connection::copy_end() {
  if (copying() == copy_state::in)
    impl_->end_copy_in(nullptr);
}

void connection::copy_cancel(const std::string& why) {
  auto& self = *impl_;
  if (!self.copy || self.copy->at == copy_state::ending)
    return;
  self.copy->cancelled = why;
  if (self.copy->at == copy_state::in)
    self.end_copy_in(why.c_str());
  else if (self.copy->at == copy_state::out)
    self.give_up(lost_before_sending({}, why));
}

} // namespace troupe::db
