// COPY over a lent connection: rows out only when the borrower asks, so that the server waits while
// he does not; bytes in as the socket takes them. However it ends its borrower is told, and what
// nobody wants any more is dropped within clean_up_limit, or the connection is. When the loan ends
// in the middle of one that gives rows, the server is told to end it.
#include "actors/connection_parts.hpp"
#include "actors/guard.hpp"

namespace troupe::connection_parts {

namespace {

using copy_state = db::connection::copy_state;
using namespace std::chrono_literals;

/// What libpq is given at once; so it is also what the socket has to take to show that it moves.
constexpr std::size_t piece = std::size_t{64} * 1024;

caf::error none_open() {
  return make_error(errc::conflict, "no COPY is open on this connection");
}

/// The one that `in` is for, or null.
connection_state::open_copy* open(connection_state& state, bool in) {
  return state.copy && state.copy->in == in ? &*state.copy : nullptr;
}

void touch(self_ptr self) {
  self->state.asked_at = self->state.copy->moved_at = self->clock().now();
}

bool goes_wrong_way(const connection_state::open_copy& copy, const db::connection& link) {
  return link.copy_way() == (copy.in ? copy_state::out : copy_state::in);
}

/// Gives up what goes the other way than its borrower thinks, before anything of it is used.
void check_direction(connection_state::open_copy& copy, db::connection& link) {
  if (copy.wrong_way || !goes_wrong_way(copy, link))
    return;
  copy.wrong_way = true;
  copy.dropping = copy.in;
  if (!copy.in)
    link.copy_cancel("it copies in");
}

void send_bytes(self_ptr self) {
  auto& copy = *self->state.copy;
  auto& link = *self->state.link;
  while (copy.sent < copy.bytes.size()
         && link.copy_put(std::string_view{copy.bytes}.substr(copy.sent, piece))) {
    copy.sent += std::min(piece, copy.bytes.size() - copy.sent);
    copy.moved_at = self->clock().now();
  }
  const auto at = link.copying();
  const bool refused = at != copy_state::in && at != copy_state::starting;
  if (!refused && (copy.sent < copy.bytes.size() || link.wants_write()))
    return;
  copy.bytes = {};
  copy.sent = 0;
  if (copy.writer)
    std::exchange(copy.writer, std::nullopt)->deliver(caf::unit);
  if (copy.ending)
    link.copy_end(); // does nothing before the server has said that it takes rows, or twice
}

void hand_out_rows(self_ptr self) {
  auto& copy = *self->state.copy;
  auto& link = *self->state.link;
  while (copy.reader || copy.dropping) {
    auto rows = link.copy_chunk();
    if (!rows)
      return;
    copy.moved_at = self->clock().now();
    if (copy.reader)
      std::exchange(copy.reader, std::nullopt)->deliver(*std::move(rows));
  }
}

/// Of a copy that nobody wants any more.
void drop(self_ptr self, const char* why) {
  auto& copy = *self->state.copy;
  touch(self);
  if (copy.in && !copy.wrong_way)
    self->state.link->copy_cancel(why);
  else
    copy.dropping = true;
  move_copy(self);
  arm(self);
}

/// So that the server does not go on with what is thrown away.
void tell_server(self_ptr self) {
  auto& state = self->state;
  if (auto word = state.link->to_cancel())
    state.copy->cancelling = state.config.io->beside([word = std::move(word)] { word->send(); },
                                                     notify(self, halt_atom_v));
}

failure told_of_copy(const connection_state::open_copy& copy, const db::db_failure* why) {
  if (copy.wrong_way)
    return {errc::invalid_argument,
            copy.in ? "this COPY gives rows: use copy_out" : "this COPY takes rows: use copy_in"};
  return told_of(*why, false);
}

} // namespace

caf::result<db::result> begin_copy(self_ptr self, const copy_start& asked) {
  auto& state = self->state;
  if (auto why = refusal(state))
    return *std::move(why);
  if (!state.lent || state.copy || !state.open.empty())
    return make_error(errc::conflict, "a COPY needs a borrowed connection with nothing in flight");
  const auto limit = asked.what->timeout();
  state.copy.emplace(connection_state::open_copy{
      self->make_response_promise<db::result>(), state.link->copy(*asked.what), asked.in,
      limit > 0ms ? limit : state.config.options.statement_timeout});
  ++state.config.load->in_flight;
  auto promise = state.copy->done;
  touch(self);
  deliver(self); // one refused locally is answered without the server
  arm(self);
  return promise;
}

caf::result<std::string> copy_rows(self_ptr self) {
  auto* copy = open(self->state, false);
  if (auto why = refusal(self->state))
    return *std::move(why);
  if (copy == nullptr || copy->reader || copy->dropping)
    return none_open();
  touch(self);
  auto promise = self->make_response_promise<caf::typed_response_promise<std::string>>();
  copy->reader = promise;
  move_copy(self);
  arm(self);
  return promise;
}

caf::result<void> copy_bytes(self_ptr self, std::string& bytes) {
  auto* copy = open(self->state, true);
  if (auto why = refusal(self->state))
    return *std::move(why);
  if (copy == nullptr || copy->writer || copy->ending)
    return none_open();
  touch(self);
  auto promise = self->make_response_promise<caf::response_promise>();
  copy->writer = promise;
  copy->bytes = std::move(bytes);
  move_copy(self);
  arm(self);
  return promise;
}

caf::result<void> end_copy(self_ptr self, bool keep) {
  auto& state = self->state;
  if (auto why = refusal(state))
    return *std::move(why);
  if (!state.copy)
    return {}; // it has ended by itself
  if (!keep || !state.copy->in) {
    drop(self, "the COPY was cancelled");
    return {};
  }
  touch(self);
  state.copy->ending = true;
  move_copy(self);
  arm(self);
  return {};
}

void move_copy(self_ptr self) {
  auto& state = self->state;
  if (!state.link || !state.copy)
    return;
  check_direction(*state.copy, *state.link);
  if (state.copy->in && !state.copy->wrong_way)
    send_bytes(self);
  else
    hand_out_rows(self);
  deliver(self); // its answer may stand behind what was taken
}

bool copy_ended(self_ptr self, db::finished& finished) {
  auto& state = self->state;
  if (!state.copy || state.copy->token != finished.token)
    return false;
  if (state.copy->cancelling) {
    state.copy->held = std::move(finished);
    return true;
  }
  auto ended = *std::exchange(state.copy, std::nullopt);
  --state.config.load->in_flight;
  ++state.config.counters->statements;
  const auto* why = std::get_if<db::db_failure>(&finished.outcome);
  ended.wrong_way = goes_wrong_way(ended, *state.link);
  if (why != nullptr || ended.wrong_way) {
    ++state.config.counters->statement_errors;
    if (why != nullptr)
      state.config.metrics->failed(why->sqlstate);
    const auto told = told_of_copy(ended, why);
    ended.done.deliver(make_error(told.code, told.detail));
  } else {
    ended.done.deliver(std::move(std::get<db::result>(finished.outcome)));
  }
  if (ended.reader)
    ended.reader->deliver(std::string{});
  if (ended.writer)
    ended.writer->deliver(caf::unit);
  if (ended.given_back && !state.link->broken())
    undo(self, *ended.given_back);
  return true;
}

void lose_copy(self_ptr self, const caf::error& why) {
  auto lost = std::exchange(self->state.copy, std::nullopt);
  if (!lost)
    return;
  lost->done.deliver(why);
  if (lost->reader)
    lost->reader->deliver(why);
  if (lost->writer)
    lost->writer->deliver(why);
}

void abandon_copy(self_ptr self, bool tainted) {
  auto& copy = *self->state.copy;
  copy.given_back = tainted;
  if (!copy.in)
    tell_server(self);
  drop(self, "the loan of this connection has ended");
}

void cancel_sent(self_ptr self) {
  auto& state = self->state;
  if (!state.copy || !std::exchange(state.copy->cancelling, false) || !state.copy->held)
    return;
  auto answer = *std::exchange(state.copy->held, std::nullopt);
  copy_ended(self, answer);
}

void check_copy(self_ptr self) {
  auto& state = self->state;
  const auto& copy = *state.copy;
  const auto now = self->clock().now();
  const auto at = state.link->copying();
  const bool asked = copy.reader || copy.writer || copy.dropping
                     || (at != copy_state::in && at != copy_state::out);
  if (!asked) {
    if (now - state.asked_at > state.config.max_loan)
      end(self,
          make_error(errc::timed_out, "nothing was asked of a COPY for "
                                          + std::to_string(state.config.max_loan.count()) + " ms"));
  } else if (copy.dropping && now - state.asked_at > state.config.clean_up_limit) {
    end(self, make_error(errc::unavailable, "a COPY was not read to its end, and the rest of it "
                                            "was too much to be dropped"));
  } else if (now - std::max(copy.moved_at, state.heard_at) > copy.limit + silence_grace) {
    end(self, db::lost_after_sending({}, "the server has been silent for too long"));
  }
}

} // namespace troupe::connection_parts
