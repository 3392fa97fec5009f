#include "actors/connection.hpp"

#include "actors/connection_parts.hpp"
#include "actors/guard.hpp"
#include "db/statements.hpp"
#include "messages/interfaces.hpp"

#include <caf/actor_cast.hpp>

namespace troupe {

namespace {

using connection_parts::ending;
using connection_parts::self_ptr;
using connection_parts::silence_grace;
using namespace std::chrono_literals;

constexpr auto silence_check = 1s;

} // namespace

failure connection_parts::told_of(const db::db_failure& why, bool own) {
  if (own || why.sqlstate.empty())
    return to_failure(to_error(why));
  return {why.code, why.message + " (" + why.sqlstate + ")"};
}

namespace {

using connection_parts::told_of;

void answer(connection_state::open_query& open, db::result rows) {
  if (!open.group) {
    open.promise.deliver(std::move(rows));
    return;
  }
  open.group->answers.each[open.place] = std::move(rows);
  if (--open.group->left == 0)
    open.group->promise.deliver(std::move(open.group->answers));
}

void answer(connection_state::open_query& open, caf::error why) {
  if (!open.group) {
    open.promise.deliver(std::move(why));
    return;
  }
  open.group->answers.each[open.place] = to_failure(why);
  if (--open.group->left == 0)
    open.group->promise.deliver(std::move(open.group->answers));
}

/// Answers everybody who waits: with what the server said in time, else with the reason.
void answer_all(self_ptr self, const caf::error& reason) {
  auto& state = self->state;
  const auto text = to_failure(reason).detail;
  if (state.link) {
    for (auto& lost : state.link->abandon(text)) {
      auto open = state.open.find(lost.token);
      if (open == state.open.end())
        continue;
      --state.config.metrics->in_flight;
      if (const auto* failure = std::get_if<db::db_failure>(&lost.outcome)) {
        state.config.metrics->failed(failure->sqlstate);
        answer(open->second,
               failure->poisons_connection ? make_error(failure->code, text) : to_error(*failure));
      } else {
        answer(open->second, std::get<db::result>(lost.outcome));
      }
      state.open.erase(open);
    }
  }
  state.config.metrics->in_flight -= state.open.size();
  for (auto& [token, left] : state.open)
    answer(left, reason);
  state.open.clear();
}

} // namespace

namespace connection_parts {

void end(self_ptr self, caf::error reason, ending how) {
  auto& state = self->state;
  const bool was_up = state.link.has_value();
  state.watch.reset();
  answer_all(self, reason);
  lose_copy(self, reason);
  if (state.counted && how == ending::lost)
    ++state.config.counters->connections_lost;
  state.counted.reset();
  state.link.reset();
  state.dialing.reset();
  if (how == ending::lost && was_up && !state.undoing) {
    state.broken = reason;
    self->send(state.config.pool, lost_atom_v, state.config.id, std::move(reason));
    return;
  }
  if (state.undoing)
    state.undoing->done.deliver(reason);
  state.undoing.reset();
  self->quit(std::move(reason));
}

void end(self_ptr self, const db::db_failure& why) {
  end(self, reason_of(why));
}

} // namespace connection_parts

namespace {

using connection_parts::arm;
using connection_parts::deliver;
using connection_parts::end;
using connection_parts::lend;
using connection_parts::publish;
using connection_parts::refusal;
using connection_parts::take_back;

/// No statement that follows has a part in the reads' sync.
void end_group(connection_state& state) {
  if (std::exchange(state.grouped, 0) > 0)
    state.link->flush();
}

void submit(self_ptr self, const db::query& query, db::sync_point after,
            connection_state::open_query open);

/// True when the statement was undone only because another read of its group failed: it is asked
/// again, with a sync of its own.
bool asked_again(self_ptr self, connection_state::open_query& open, const db::db_failure& why) {
  auto& state = self->state;
  if (!open.again || why.code != errc::aborted || !state.link || state.link->broken())
    return false;
  --state.config.metrics->in_flight;
  state.asked_at = state.heard_at;
  const auto query = std::exchange(open.again, nullptr);
  end_group(state); // or it would share the next failure
  submit(self, *query, db::sync_point::now, std::move(open));
  return true;
}

/// One answer to who asked; an own statement of the clean-up has nobody who asked.
void hand_out(self_ptr self, db::finished& finished) {
  auto& state = self->state;
  const auto open = state.open.find(finished.token);
  if (open == state.open.end()) {
    connection_parts::copy_ended(self, finished);
    return;
  }
  auto& counters = *state.config.counters;
  auto& metrics = *state.config.metrics;
  const auto* failure = std::get_if<db::db_failure>(&finished.outcome);
  if (failure != nullptr && asked_again(self, open->second, *failure)) {
    state.open.erase(finished.token);
    return;
  }
  // Before the answer, so that who has his answer finds nothing of it on its way.
  --state.config.load->in_flight;
  --metrics.in_flight;
  auto& measured = *open->second.measured;
  ++counters.statements;
  if (state.counted)
    state.config.own->statements.fetch_add(1, std::memory_order_relaxed);
  measured.latency.record(state.heard_at - open->second.asked_at);
  if (failure != nullptr) {
    ++counters.statement_errors;
    if (state.counted)
      state.config.own->errors.fetch_add(1, std::memory_order_relaxed);
    ++measured.errors;
    metrics.failed(failure->sqlstate);
    if (failure->sqlstate.rfind("TR", 0) != 0)
      log::warn("connection",
                failure->statement + ": " + failure->sqlstate + " " + failure->message);
    const auto told = told_of(*failure, open->second.engines_own);
    answer(open->second, make_error(told.code, told.detail));
  } else {
    answer(open->second, std::move(std::get<db::result>(finished.outcome)));
  }
  state.open.erase(open);
}

} // namespace

void connection_parts::publish(connection_state& state) {
  if (!state.counted) // the slot may be another's by now
    return;
  state.config.own->in_flight.store(state.open.size(), std::memory_order_relaxed);
  state.config.own->lent.store(state.lent, std::memory_order_relaxed);
}

void connection_parts::deliver(self_ptr self) {
  auto& state = self->state;
  while (auto finished = state.link->next()) {
    if (const auto* why = std::get_if<db::db_failure>(&finished->outcome);
        why != nullptr && why->sqlstate == "25006" && why->poisons_connection)
      state.read_only = *why;
    if (!undone(self, *finished))
      return end(self, make_error(errc::unavailable, "could not undo what a borrower left"));
    hand_out(self, *finished);
  }
  while (auto note = state.link->next_notification())
    if (state.config.listener)
      self->send(state.config.listener, *std::move(note));
  if (state.config.load->wanted.load())
    self->send(state.config.pool, room_atom_v);
  if (state.link->broken())
    end(self, reason_of(state.link->why_broken()));
  else if (state.read_only && state.open.empty()) // the primary is elsewhere now
    end(self, *state.read_only);
}

void connection_parts::arm(self_ptr self) {
  auto& state = self->state;
  if (state.link && !state.link->copy_waits() && !std::exchange(state.reading, true))
    state.watch->when_readable(notify(self, read_atom_v));
  if (state.link && state.link->wants_write() && !std::exchange(state.writing, true))
    state.watch->when_writable(notify(self, write_atom_v));
}

std::optional<caf::error> connection_parts::refusal(const connection_state& state) {
  if (state.link && !state.undoing)
    return std::nullopt;
  if (state.broken)
    return state.broken;
  return state.undoing ? make_error(errc::conflict, "the loan of this connection has ended")
                       : make_error(errc::unavailable, "the connection is not ready");
}

namespace {

void check_silence(self_ptr self) {
  auto& state = self->state;
  if (state.dialing && std::chrono::steady_clock::now() >= state.dialing->deadline())
    return connection_parts::dial(self); // past the deadline a step answers `failed`
  if (!state.link)
    return;
  if (state.copy)
    return connection_parts::check_copy(self);
  const auto now = self->clock().now();
  if (state.open.empty()) {
    if (state.lent && !state.undoing
        && now - std::max(state.asked_at, state.heard_at) > state.config.max_loan)
      end(self,
          make_error(errc::timed_out, "the borrowed connection was not used for "
                                          + std::to_string(state.config.max_loan.count()) + " ms"));
    return;
  }
  // Queries behind others wait for them: as long as bytes come, nobody is silent. Between two of
  // a borrower's group some come (see db::connection), so that the last two are silent together at
  // most. Reads that share a sync are silent all together, but reads are quick: they may take the
  // time of two as well, or a frozen server would be believed in for eight times as long.
  auto oldest = now;
  auto longest = 0ms;
  for (const auto& [token, query] : state.open) {
    oldest = std::min(oldest, query.asked_at);
    longest = std::max(longest, query.limit);
  }
  const auto allowed = longest * (state.open.size() > 1 ? 2 : 1) + silence_grace;
  if (now - std::max(oldest, state.heard_at) > allowed)
    end(self, db::lost_after_sending({}, "the server has been silent for too long"));
}

void flush(self_ptr self) {
  auto& state = self->state;
  state.flush_sent = false;
  state.grouped = 0;
  if (!state.link)
    return;
  state.link->flush();
  arm(self);
  deliver(self); // a query refused locally is answered without the server
  publish(state);
}

void submit(self_ptr self, const db::query& query, db::sync_point after,
            connection_state::open_query open) {
  auto& state = self->state;
  if (state.lent)
    ++state.config.load->in_flight; // else POOL has counted it
  const auto token = state.link->submit(query, after);
  // What is not prepared may have its name from a user, and end before its metrics do.
  const auto& what = query.what();
  open.measured = &state.config.metrics->of(what.prepared ? what.name : "unprepared");
  open.limit = query.timeout() > 0ms ? query.timeout() : state.config.options.statement_timeout;
  open.engines_own = query.what().prepared;
  open.asked_at = state.asked_at;
  state.open.emplace(token, std::move(open));
  ++state.config.metrics->in_flight;
}

/// Queries that are in the mailbox already share one flush.
void flush_soon(self_ptr self) {
  if (!std::exchange(self->state.flush_sent, true))
    self->send(self, flush_atom_v);
}

/// When the statement's sync comes.
db::sync_point place_of(connection_state& state, const query_ptr& query,
                        connection_state::open_query& open) {
  if (state.lent)
    return db::sync_point::later;
  if (!query->what().reads || query->timeout() > 0ms) {
    end_group(state);
    return db::sync_point::now;
  }
  open.again = query;
  if (++state.grouped < connection_state::most_in_group)
    return db::sync_point::later;
  state.grouped = 0;
  return db::sync_point::now;
}

caf::result<db::result> ask(self_ptr self, const query_ptr& query) {
  auto& state = self->state;
  if (auto why = refusal(state)) {
    if (state.lent)
      return *std::move(why);
    --state.config.load->in_flight;
    if (state.broken) // nothing was sent, and POOL has been told: it takes another one
      return self->delegate(state.config.pool, query);
    return *std::move(why);
  }
  state.asked_at = self->clock().now();
  connection_state::open_query open;
  open.promise = self->make_response_promise<db::result>();
  auto promise = open.promise;
  const auto after = place_of(state, query, open);
  submit(self, *query, after, std::move(open));
  flush_soon(self);
  return promise;
}

caf::result<burst_answers> ask_all(self_ptr self, const burst& asked) {
  if (auto why = refusal(self->state))
    return *std::move(why);
  const auto count = asked.statements.size();
  if (count == 0)
    return burst_answers{};
  self->state.asked_at = self->clock().now();
  auto group = std::make_shared<connection_state::open_burst>();
  group->promise = self->make_response_promise<burst_answers>();
  group->answers.each.resize(count);
  group->left = count;
  auto promise = group->promise;
  for (std::size_t i = 0; i < count; ++i) {
    connection_state::open_query open;
    open.group = group;
    open.place = i;
    submit(self, asked.statements[i], i + 1 < count ? db::sync_point::later : db::sync_point::now,
           std::move(open));
  }
  flush(self);
  return promise;
}

void read(self_ptr self) {
  auto& state = self->state;
  state.reading = false;
  if (!state.link)
    return;
  state.heard_at = self->clock().now();
  state.link->on_readable();
  deliver(self);
  connection_parts::move_copy(self);
  publish(state);
  arm(self);
}

void write(self_ptr self) {
  auto& state = self->state;
  state.writing = false;
  if (!state.link)
    return;
  state.heard_at = self->clock().now(); // it takes what we send
  state.link->on_writable();
  connection_parts::move_copy(self);
  arm(self);
}

std::string what_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    log::error("connection", e.what());
    return e.what();
  }
}

} // namespace

connection_impl::behavior_type connection(connection_impl::stateful_pointer<connection_state> self,
                                          connection_config config) {
  self->state.config = std::move(config);
  self->set_exit_handler([self](const caf::exit_msg& exit) {
    const bool ours = exit.reason && exit.reason.category() == errc_category; // null has none
    end(self, ours ? exit.reason : make_error(errc::stopping, "the engine is stopping"),
        ending::meant);
  });
  // What a borrower sends that is no query, and errors that it answers with, are his business.
  self->set_error_handler([](const caf::error&) {});
  self->set_exception_handler([self](const std::exception_ptr& thrown) {
    auto why = make_error(errc::internal, what_of(thrown));
    end(self, why, ending::meant);
    return why;
  });
  self->send(self, dial_atom_v);
  self->delayed_send(self, silence_check, tick_atom_v);
  return {
      [self](const query_ptr& query) { return ask(self, query); },
      [self](const burst_ptr& asked) { return ask_all(self, *asked); },
      [self](const copy_start& asked) { return connection_parts::begin_copy(self, asked); },
      [self](copy_atom) { return connection_parts::copy_rows(self); },
      [self](copy_atom, std::string& bytes) { return connection_parts::copy_bytes(self, bytes); },
      [self](copy_atom, bool keep) { return connection_parts::end_copy(self, keep); },
      [self](lend_atom) { return lend(self); },
      [self](return_atom, bool tainted) { return take_back(self, tainted); },
      [self](dial_atom) { connection_parts::dial(self); },
      [self](read_atom) { read(self); },
      [self](write_atom) { write(self); },
      [self](flush_atom) { flush(self); },
      [self](halt_atom) { connection_parts::cancel_sent(self); },
      [self](late_atom, int clean_up) {
        if (self->state.undoing && clean_up == self->state.clean_ups)
          end(self, make_error(errc::unavailable, "what a borrower left took too long to undo"));
      },
      [self](const found_name& found) { connection_parts::looked_up(self, found); },
      [self](tick_atom) {
        connection_parts::check_lookup(self);
        check_silence(self);
        if (self->state.link || self->state.dialing || self->state.lookup)
          self->delayed_send(self, silence_check, tick_atom_v);
      },
  };
}

} // namespace troupe
