// What the crawls of one node share: who waits here for which crawl, and the specs read lately.
// Used by `scrape` and `scrape.page`; any thread.
#pragma once

#include "messages/crawl.hpp"

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Runs of `scrape` on this node, so that a page recorded here can tell its crawl that it is over.
class live_crawls {
public:
  using listener = std::function<void(const crawl_progress&)>;

  void add(job_id crawl, listener told);
  void remove(job_id crawl);
  /// Calls the listener when the progress is that of a finished crawl somebody waits for here.
  void tell(const crawl_progress& progress) const;

private:
  mutable std::mutex guard_;
  /// One per running crawl, so bounded by the node's slots.
  std::unordered_map<job_id, listener> listeners_;
};

using spec_ptr = std::shared_ptr<const crawl_spec>;

/// Specs of the crawls whose pages run here, least recently used dropped first. Pages that ask
/// while the spec is on its way wait for the one answer; a failure is not kept.
class spec_cache : public std::enable_shared_from_this<spec_cache> {
public:
  spec_cache(crawl_port& port, std::size_t capacity) : port_(port), capacity_(capacity) {}

  /// The reply comes at once, on this thread, or on the port's.
  void get(job_id crawl, on_result<spec_ptr> reply);

private:
  struct entry {
    job_id crawl;
    spec_ptr spec;                            ///< null while it is being read
    std::vector<on_result<spec_ptr>> waiting; ///< at most one per running page
  };

  void arrived(job_id crawl, result_or<crawl_spec> answer);

  crawl_port& port_;
  const std::size_t capacity_;
  std::mutex guard_;
  std::list<entry> entries_; ///< most recently used first
  std::unordered_map<job_id, std::list<entry>::iterator> index_;
};

} // namespace troupe
