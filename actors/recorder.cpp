#include "actors/recorder.hpp"

#include "actors/guard.hpp"

#include <algorithm>
#include <iterator>

namespace troupe {

namespace {

using self_ptr = recorder_actor::stateful_pointer<recorder_state>;
using batch = std::vector<page_to_record_ptr>;

/// Removes the links that were recorded earlier.
void leave_out_known(recorder_state& state, page_outcome& page) {
  const auto known = state.known.find(page.crawl);
  if (known == state.known.end())
    return;
  std::erase_if(page.discovered, [&](const std::string& url) {
    const auto seen = known->second.find(url);
    return seen != known->second.end() && seen->second <= page.depth + 1;
  });
}

void remember(recorder_state& state, page_outcome& page) {
  if (state.known_links > recorder_state::max_known_links) {
    state.known.clear();
    state.known_links = 0;
  }
  auto& known = state.known[page.crawl];
  for (auto& url : page.discovered) {
    const auto [seen, added] = known.try_emplace(std::move(url), page.depth + 1);
    if (added)
      ++state.known_links;
    else
      seen->second = std::min(seen->second, page.depth + 1);
  }
}

void forget(recorder_state& state, job_id crawl) {
  const auto known = state.known.find(crawl);
  if (known == state.known.end())
    return;
  state.known_links -= known->second.size();
  state.known.erase(known);
}

void store_next(self_ptr self);

void stored(self_ptr self, batch& pages, const recorded_pages& answer) {
  auto& state = self->state;
  if (answer.queued)
    self->send(state.executor, wake_atom_v, std::string{page_queue});
  for (auto& one : pages) {
    remember(state, one->page);
    const auto progress =
        std::find_if(answer.crawls.begin(), answer.crawls.end(),
                     [&](const auto& crawl) { return crawl.crawl == one->page.crawl; });
    if (progress == answer.crawls.end())
      one->reply(failure{errc::not_found, "the crawl is gone"});
    else
      one->reply(*progress);
  }
  for (const auto& crawl : answer.crawls)
    if (crawl.finished())
      forget(state, crawl.crawl);
}

/// One page that the database refuses must not take the others with it.
void refused(self_ptr self, batch& pages, const failure& why) {
  const bool definite = why.code == errc::database || why.code == errc::invalid_argument;
  if (definite && pages.size() > 1) {
    for (auto& one : pages)
      self->state.parts.push_back({std::move(one)});
    return;
  }
  for (auto& one : pages)
    one->reply(why);
}

void store_next(self_ptr self) {
  auto& state = self->state;
  if (state.storing)
    return;
  auto pages = std::make_shared<batch>();
  if (!state.parts.empty()) {
    *pages = std::move(state.parts.front());
    state.parts.pop_front();
  } else {
    const auto count = std::min(state.waiting.size(), recorder_state::max_batch);
    const auto end = state.waiting.begin() + static_cast<std::ptrdiff_t>(count);
    pages->assign(std::make_move_iterator(state.waiting.begin()), std::make_move_iterator(end));
    state.waiting.erase(state.waiting.begin(), end);
  }
  if (pages->empty())
    return;
  record_pages ask;
  ask.pages.reserve(pages->size());
  for (auto& one : *pages) {
    leave_out_known(state, one->page);
    ask.pages.push_back(one->page);
  }
  state.storing = true;
  self->request(state.store, caf::infinite, std::move(ask))
      .then(
          [self, pages](const recorded_pages& answer) {
            self->state.storing = false;
            stored(self, *pages, answer);
            store_next(self);
          },
          [self, pages](caf::error& error) {
            self->state.storing = false;
            refused(self, *pages, to_failure(error));
            store_next(self);
          });
}

} // namespace

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_state> self,
                                       crawl_store_actor store, executor_actor executor) {
  self->state.store = std::move(store);
  self->state.executor = std::move(executor);
  return {
      guarded([self](const page_to_record_ptr& page) {
        self->state.waiting.push_back(page);
        store_next(self);
      }),
  };
}

} // namespace troupe
