#include "actors/lookup.hpp"

#include "actors/guard.hpp"
#include "actors/store.hpp"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

namespace troupe {

namespace {

using self_ptr = lookup_actor::stateful_pointer<lookup_state>;
using caller = lookup_state::caller;
using callers_ptr = std::shared_ptr<std::vector<caller>>;

void launch(self_ptr self);

/// The next ones, for so many jobs at most. Who asks for the same job costs nothing; one who wants
/// its args gives them to all who ask for it.
std::vector<caller> gather(lookup_state& state, std::vector<get_job>& jobs) {
  std::vector<caller> next;
  while (!state.waiting.empty()) {
    auto& first = state.waiting.front();
    if (!next.empty() && (first.alone || next.front().alone))
      break;
    const auto same = std::find_if(jobs.begin(), jobs.end(),
                                   [&](const get_job& one) { return one.id == first.asked.id; });
    if (same == jobs.end() && jobs.size() == state.options.flight_jobs)
      break;
    if (same == jobs.end())
      jobs.push_back(first.asked);
    else
      same->args = same->args || first.asked.args;
    next.push_back(std::move(first));
    state.waiting.pop_front();
  }
  return next;
}

void failed(lookup_state& state, std::vector<caller>& callers, const caf::error& why) {
  const auto code = to_failure(why).code;
  const bool for_what_it_read =
      code == errc::too_large || code == errc::database || code == errc::internal;
  if (callers.size() == 1 || !for_what_it_read) {
    for (const auto& one : callers)
      one.promise.deliver(why);
    return;
  }
  for (auto& one : callers)
    one.alone = true;
  state.waiting.insert(state.waiting.begin(), std::make_move_iterator(callers.begin()),
                       std::make_move_iterator(callers.end()));
}

/// `found` has the job of each caller, or there is none.
void landed(const std::vector<caller>& callers, const std::vector<job_record>& found) {
  std::unordered_map<job_id, const job_record*> by_id;
  for (const auto& job : found)
    by_id.emplace(job.id, &job);
  for (const auto& one : callers) {
    const auto job = by_id.find(one.asked.id);
    if (job == by_id.end())
      one.promise.deliver(make_error(errc::not_found, no_such_job(one.asked.id)));
    else
      one.promise.deliver(job_record{*job->second});
  }
}

template<class Reply, class Ask, class Landed>
void ask_store(self_ptr self, const Ask& question, const callers_ptr& callers, Landed then) {
  ++self->state.flights;
  self->request(self->state.store, caf::infinite, question)
      .then(
          [self, then](const Reply& answer) {
            --self->state.flights;
            then(answer);
            launch(self);
          },
          [self, callers](const caf::error& why) {
            --self->state.flights;
            failed(self->state, *callers, why);
            launch(self);
          });
}

void launch(self_ptr self) {
  auto& state = self->state;
  while (state.flights < state.options.max_flights && !state.waiting.empty()) {
    std::vector<get_job> jobs;
    const auto callers = std::make_shared<std::vector<caller>>(gather(state, jobs));
    if (jobs.size() == 1) {
      ask_store<job_record>(self, jobs.front(), callers, [callers](const job_record& job) {
        for (const auto& one : *callers)
          one.promise.deliver(job_record{job});
      });
      continue;
    }
    get_jobs question;
    for (const auto& one : jobs) {
      question.ids.push_back(one.id);
      if (!one.args)
        question.brief.push_back(one.id);
    }
    ask_store<found_jobs>(self, question, callers,
                          [callers](const found_jobs& found) { landed(*callers, found.jobs); });
  }
}

void depart(self_ptr self, const list_jobs& asked);
void launch_searches(self_ptr self);

/// Answers who was aboard; who asked meanwhile goes with the next reading.
template<class Answer>
void page_landed(self_ptr self, const list_jobs& asked, const Answer& answer) {
  auto& state = self->state;
  const auto flight = state.pages.find(asked);
  const auto aboard = std::exchange(flight->second.aboard, {});
  state.searches -= is_searched(asked.filter) ? 1 : 0;
  if (flight->second.next.empty())
    state.pages.erase(flight);
  else
    depart(self, asked);
  launch_searches(self);
  for (const auto& one : aboard)
    one.deliver(Answer{answer});
}

void read_page(self_ptr self, const list_jobs& asked) {
  auto& state = self->state;
  auto& flight = state.pages.at(asked);
  flight.aboard = std::exchange(flight.next, {});
  state.waiting_for_pages -= flight.aboard.size();
  self->request(state.store, caf::infinite, asked)
      .then([self, asked](const job_page& page) { page_landed(self, asked, page); },
            [self, asked](const caf::error& why) { page_landed(self, asked, why); });
}

void launch_searches(self_ptr self) {
  auto& state = self->state;
  while (state.searches < state.options.max_searches && !state.waiting_searches.empty()) {
    const auto next = std::move(state.waiting_searches.front());
    state.waiting_searches.pop_front();
    ++state.searches;
    read_page(self, next);
  }
}

/// Reads the page for all who wait for it; a search when it is its turn.
void depart(self_ptr self, const list_jobs& asked) {
  if (!is_searched(asked.filter))
    return read_page(self, asked);
  self->state.waiting_searches.push_back(asked);
  launch_searches(self);
}

/// Whether one more page would wait behind too many others.
bool waits_too_long(const lookup_state& state, const list_jobs& asked) {
  return is_searched(asked.filter) && state.searches >= state.options.max_searches
         && state.waiting_searches.size() >= state.options.max_waiting_searches;
}

} // namespace

lookup_actor::behavior_type lookup(lookup_actor::stateful_pointer<lookup_state> self,
                                   const lookup_options& options, const store_actor& store) {
  self->state.options = options;
  self->state.store = store;
  return {guarded([self](const get_job& asked) -> caf::result<job_record> {
            auto& state = self->state;
            if (state.waiting.size() >= state.options.max_waiting)
              return make_error(errc::overloaded, "too many questions for jobs wait");
            const kept_promise<job_record> promise(self);
            state.waiting.push_back({asked, promise});
            launch(self);
            return promise.result();
          }),
          guarded([self](const list_jobs& asked) -> caf::result<job_page> {
            auto& state = self->state;
            const bool first = !state.pages.contains(asked);
            if (first && waits_too_long(state, asked))
              return make_error(errc::overloaded, "too many searches wait");
            if (!first && state.waiting_for_pages >= state.options.max_waiting)
              return make_error(errc::overloaded, "too many questions for pages wait");
            const kept_promise<job_page> promise(self);
            state.pages[asked].next.push_back(promise);
            ++state.waiting_for_pages;
            if (first)
              depart(self, asked);
            return promise.result();
          })};
}

} // namespace troupe
