// The kinds `scrape` (a crawl: opens it, then waits for its pages without holding a thread) and
// `scrape.page` (one page: fetched on the I/O loop, parsed on a worker, recorded through the port).
// Started by the executor; a crawl that runs again after a crash finds itself open and goes on.
#pragma once

#include "handlers/fetcher.hpp"
#include "messages/crawl.hpp"
#include "messages/handler.hpp"
#include "messages/io_loop.hpp"

#include <chrono>

namespace troupe {

struct scrape_options {
  /// How often a waiting crawl reads its progress from the rows. What is recorded on this node
  /// reaches it at once; this is for pages of other nodes and for jobs that recorded nothing.
  std::chrono::milliseconds progress_interval{2000};
  int page_attempts = 3;                           ///< then the page is recorded as failed
  std::chrono::milliseconds retry_first{1000};     ///< before the second attempt
  std::chrono::milliseconds retry_later{4000};     ///< before further ones
  std::chrono::milliseconds retry_longest{60'000}; ///< what a server's Retry-After may ask for
  std::size_t cached_specs = 64;                   ///< crawls whose spec a node remembers
  std::size_t thread_selectors = 4; ///< crawls whose selectors a worker thread keeps compiled
};

/// All references must outlive the runs.
struct scrape_deps {
  io_loop& loop;
  worker_pool& workers;
  crawl_port& port;
  fetcher& pages;
  scrape_options options = {};
};

void add_scrape(handler_table& kinds, const scrape_deps& deps);

} // namespace troupe
