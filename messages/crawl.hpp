// The values of a crawl: what was asked, what one page gave, how far it is. A crawl is a job of
// kind `scrape`; each of its pages is a job of kind `scrape.page`; each fetched page is one item
// row.
#pragma once

#include "messages/errc.hpp"
#include "messages/job.hpp"

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

namespace limits {
constexpr std::size_t url_bytes = 2048; ///< fits PostgreSQL's index entry limit with room to spare
constexpr std::size_t selectors = 32;
constexpr int crawl_depth = 1000;
constexpr int crawl_pages = 10'000'000;
constexpr std::size_t links_per_page = 5000; ///< further links of one page are not followed
constexpr std::size_t title_bytes = 1024;
} // namespace limits

/// Queue of the page jobs. Not the crawl's own: a crawl waits for its pages, so sharing slots with
/// them could fill a node with waiters.
inline constexpr const char* page_queue = "scrape.pages";

struct selector {
  std::string name;  ///< key in the item's `fields`
  std::string xpath; ///< XPath 1.0; node sets give the text of each node, up to 100
};

struct crawl_spec {
  std::string url; ///< absolute http or https URL; pages on its host and port are followed
  int max_depth = 100;
  int max_pages = 10'000;
  std::vector<selector> selectors;
};

/// What one page job found out. An error leaves status 0 when no response came.
struct page_outcome {
  job_id crawl;
  job_id page; ///< the page's own job
  std::string url;
  int depth = 0;
  int status = 0;
  std::string title;
  int headings = 0; ///< h1 to h6
  int links = 0;    ///< a[href], followed or not
  std::int64_t bytes = 0;
  std::string fields; ///< JSON object of the selectors' results, or empty
  std::string error;  ///< empty when the page was fetched and parsed
  /// Absolute URLs in the crawl's host, without fragment, each once. The store keeps those that are
  /// new to the crawl and within its limits.
  std::vector<std::string> discovered;
};

struct crawl_progress {
  job_id crawl;
  std::int64_t pages = 0;   ///< discovered and queued, the start page included
  std::int64_t fetched = 0; ///< items without an error
  std::int64_t failed = 0;  ///< items with one
  std::int64_t bytes = 0;
  bool closed = false; ///< takes no more pages
  bool finished() const { return fetched + failed >= pages; }
};

/// One row of a crawl's export.
struct item_record {
  job_id page;
  std::string url;
  int status = 0;
  std::string title;
  int headings = 0;
  int links = 0;
  std::int64_t bytes = 0;
  timestamp fetched_at;
  std::string fields; ///< JSON object or empty
  std::string error;
};

template<class T>
using result_or = std::variant<T, failure>;
template<class T>
using on_result = std::function<void(result_or<T>)>;

/// All items of a crawl in one snapshot, by ascending page ids. Destroyed early, it reads no more.
class item_source {
public:
  virtual ~item_source() = default;
  /// The next ones, read when they are asked for; none after the last. One call at a time.
  virtual void next(on_result<std::vector<item_record>> reply) = 0;
};

/// What the scrape and export handlers need of the store. Implemented by actors/crawl_port.cpp;
/// every member returns at once, the callback comes exactly once on some other thread.
class crawl_port {
public:
  virtual ~crawl_port() = default;
  /// Makes the crawl and its first page job; when it exists already (a second attempt), only tells
  /// its progress.
  virtual void open(job_id crawl, crawl_spec spec, on_result<crawl_progress> reply) = 0;
  /// The spec the crawl was opened with.
  virtual void spec(job_id crawl, on_result<crawl_spec> reply) = 0;
  /// Stores a page's item once and queues the links that are new. Recording a page twice is
  /// harmless. Pages recorded at about the same time share one statement.
  virtual void record(page_outcome page, on_result<crawl_progress> reply) = 0;
  /// Progress from the rows; also counts pages whose job ended without recording anything
  /// (cancelled by hand, quarantined) as failed, so that a crawl always ends.
  virtual void progress(job_id crawl, on_result<crawl_progress> reply) = 0;
  /// No further pages: those waiting are cancelled.
  virtual void close(job_id crawl, on_result<crawl_progress> reply) = 0;
  /// Items of a crawl with page ids above `after`, ascending, at most `limit`.
  virtual void items(job_id crawl, job_id after, int limit,
                     on_result<std::vector<item_record>> reply) = 0;
  /// For all of them. Holds a connection of its own until it is destroyed.
  virtual std::unique_ptr<item_source> all_items(job_id crawl) = 0;
  /// Jobs below `before` (0: from the newest), newest first, at most `limit`.
  virtual void jobs(job_filter filter, job_id before, int limit, on_result<job_page> reply) = 0;
};

} // namespace troupe
