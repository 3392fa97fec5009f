// RECORDER: gathers page outcomes while the last batch of them is being stored, and leaves out
// links that the crawl is known to have. Asked by the crawl port; asks CRAWL STORE; wakes EXECUTOR
// when new pages were queued. Bounds: pages in one batch, links remembered; pages not yet stored
// are bounded by the slots of the page queue.
#pragma once

#include "messages/interfaces.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe {

struct page_to_record {
  page_outcome page;
  on_result<crawl_progress> reply;
};
/// Shared so that a message is one pointer; moved from by its only receiver.
using page_to_record_ptr = std::shared_ptr<page_to_record>;

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::page_to_record_ptr)

namespace troupe {

using recorder_actor = caf::typed_actor<
    // Store this page; the callback in it is called exactly once.
    caf::reacts_to<page_to_record_ptr>>;

struct recorder_state {
  /// Declared, so that C++20 does not build the state from CAF's self pointer as an aggregate.
  recorder_state() = default;

  static inline const char* name = "recorder";
  static constexpr std::size_t max_batch = 256;
  /// Above it the memory of links is dropped and grows anew; the database knows them all.
  static constexpr std::size_t max_known_links = 1'000'000;

  crawl_store_actor store;
  executor_actor executor;
  std::vector<page_to_record_ptr> waiting;
  std::deque<std::vector<page_to_record_ptr>> parts; ///< of a refused batch, page by page
  bool storing = false;
  /// Links recorded, by crawl, each with the least depth it was seen at: below it the crawl's limit
  /// may let through what it refused deeper down.
  std::map<job_id, std::unordered_map<std::string, int>> known;
  std::size_t known_links = 0;
};

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_state> self,
                                       crawl_store_actor store, executor_actor executor);

} // namespace troupe
