#include "actors/logbook.hpp"

#include "actors/guard.hpp"

#include <algorithm>

namespace troupe {

namespace {

using namespace std::chrono_literals;
using self_ptr = logbook_impl::stateful_pointer<logbook_state>;
using entry = logbook_state::entry;
using line = logbook_state::line;
using batch = std::vector<entry>;

std::size_t size_of(const entry& one) {
  const auto* told = std::get_if<line>(&one);
  return told == nullptr ? 0 : told->told.text.size();
}

/// It is the moment's fault, not what was to be stored.
bool passes(errc why) {
  return why == errc::unavailable || why == errc::timed_out || why == errc::overloaded
         || why == errc::retry || why == errc::outcome_unknown || why == errc::aborted;
}

void answer_waiters(logbook_state& state) {
  while (!state.waiters.empty() && state.waiters.front().until <= state.tried) {
    state.waiters.front().promise.deliver(true);
    state.waiters.pop_front();
  }
}

batch next_batch(logbook_state& state) {
  batch out;
  std::size_t bytes = 0;
  while (!state.entries.empty() && out.size() < logbook_state::batch_entries
         && (out.empty() || bytes < logbook_state::batch_bytes)) {
    bytes += size_of(state.entries.front());
    out.push_back(std::move(state.entries.front()));
    state.entries.pop_front();
  }
  state.bytes -= bytes;
  return out;
}

/// What is to be stored; of a run's progress the last word, which may be gone with an earlier
/// entry.
record_reports statement_of(const batch& entries, std::chrono::steady_clock::time_point now) {
  record_reports out;
  for (const auto& one : entries) {
    if (const auto* said = std::get_if<line>(&one)) {
      out.lines.push_back(said->told);
      out.lines.back().ago = std::chrono::duration_cast<std::chrono::milliseconds>(now - said->at);
    } else if (const auto last = std::get<run_reporter_ptr>(one)->take()) {
      out.progress.push_back(*last);
    }
  }
  return out;
}

void store_next(self_ptr self);

/// Stores what has gathered, now or in a moment.
void gathered(self_ptr self, std::chrono::milliseconds moment = logbook_state::pace) {
  auto& state = self->state;
  if (state.storing || state.entries.empty())
    return;
  const auto now = self->clock().now();
  const bool now_then = state.not_before <= now
                        && (moment == 0ms || state.entries.size() >= logbook_state::batch_entries);
  if (now_then || !state.waiters.empty())
    return store_next(self);
  if (!std::exchange(state.ticking, true))
    self->delayed_send(self, std::max<std::chrono::nanoseconds>(moment, state.not_before - now),
                       tick_atom_v);
}

void stored(self_ptr self, const record_reports& asked, const recorded_reports& answer) {
  auto& counters = *self->state.counters;
  const auto is_fenced = [&](const auto& told) {
    return std::find(answer.fenced.begin(), answer.fenced.end(), told.run.job)
           != answer.fenced.end();
  };
  const auto late =
      static_cast<std::uint64_t>(std::count_if(asked.lines.begin(), asked.lines.end(), is_fenced));
  counters.log_lines += asked.lines.size() - late;
  counters.reports_fenced += late
                             + static_cast<std::uint64_t>(std::count_if(
                                 asked.progress.begin(), asked.progress.end(), is_fenced));
}

/// Lines go back to where they were. A progress does not: a later word may be there by now.
void put_back(logbook_state& state, record_reports& asked,
              std::chrono::steady_clock::time_point now) {
  state.tried -= asked.lines.size();
  for (auto one = asked.lines.rbegin(); one != asked.lines.rend(); ++one) {
    state.bytes += one->text.size();
    const auto at = now - one->ago;
    state.entries.push_front(line{std::move(*one), at});
  }
}

void store_next(self_ptr self) {
  auto& state = self->state;
  const auto entries = next_batch(state);
  const auto now = self->clock().now();
  auto ask = std::make_shared<record_reports>(statement_of(entries, now));
  state.tried += entries.size();
  if (ask->lines.empty() && ask->progress.empty()) {
    answer_waiters(state);
    return gathered(self);
  }
  state.storing = true;
  self->request(state.store, caf::infinite, *ask)
      .then(
          [self, ask](const recorded_reports& answer) {
            self->state.storing = false;
            stored(self, *ask, answer);
            answer_waiters(self->state);
            gathered(self);
          },
          [self, ask, now](caf::error& error) {
            auto& then = self->state;
            then.storing = false;
            // Who reports an outcome does not wait for an outage's end.
            for (auto& one : std::exchange(then.waiters, {}))
              one.promise.deliver(true);
            const auto why = to_failure(error);
            if (passes(why.code)) {
              put_back(then, *ask, now);
              then.not_before = self->clock().now() + logbook_state::patience;
              return gathered(self);
            }
            then.counters->log_lines_dropped += ask->lines.size();
            log::warn("logbook",
                      "what runs said was refused: " + to_string(why.code) + " " + why.detail);
            gathered(self);
          });
}

} // namespace

logbook_impl::behavior_type logbook(logbook_impl::stateful_pointer<logbook_state> self,
                                    store_actor store, engine_counters* counters) {
  self->state.store = std::move(store);
  self->state.counters = counters;
  return {
      guarded([self](told_line& told) {
        auto& state = self->state;
        if (state.entries.size() >= logbook_state::max_lines
            || state.bytes + told.text.size() > logbook_state::max_bytes) {
          ++state.counters->log_lines_dropped;
          return;
        }
        ++state.received;
        state.bytes += told.text.size();
        state.entries.emplace_back(line{std::move(told), self->clock().now()});
        gathered(self);
      }),
      guarded([self](const run_reporter_ptr& run) {
        ++self->state.received; // one at a time for each run, so bounded by their slots
        self->state.entries.emplace_back(run);
        gathered(self);
      }),
      guarded([self](drain_atom) -> caf::result<bool> {
        auto& state = self->state;
        auto promise = self->make_response_promise<bool>();
        state.waiters.push_back({promise, state.received});
        answer_waiters(state);
        gathered(self);
        return promise;
      }),
      guarded([self](tick_atom) {
        self->state.ticking = false;
        gathered(self, 0ms);
      }),
  };
}

} // namespace troupe
