// One visit of one page, from args to recorded item. Made by scrape.cpp for each run of
// `scrape.page`; holds no thread while it waits for the network or the database.
#pragma once

#include "handlers/args.hpp"
#include "handlers/crawls.hpp"
#include "handlers/page.hpp"
#include "handlers/scrape.hpp"

#include <memory>
#include <string_view>

namespace troupe {

/// What all visits of a node share.
struct page_room {
  explicit page_room(const scrape_deps& d)
      : deps(d), specs(std::make_shared<spec_cache>(d.port, d.options.cached_specs)) {}

  const scrape_deps deps;
  live_crawls live;
  std::shared_ptr<spec_cache> specs;
};

class page_visit : public std::enable_shared_from_this<page_visit> {
public:
  page_visit(std::shared_ptr<page_room> room, job_run_ptr run, completion done);
  void start();

private:
  void fetch();
  void fetched(fetch_response response);
  void answered();
  void parse();
  void retry_or_record(const std::string& reason);
  /// Records what is in outcome_ and answers `verdict` once that is done.
  void record(job_result verdict);
  void record_failed(const std::string& reason);

  std::shared_ptr<page_room> room_;
  job_run_ptr run_;
  completion done_;
  page_args args_;
  spec_ptr spec_;
  fetch_response response_;
  page_outcome outcome_;
};

/// True for HTML by its content type, or by its first bytes when there is none.
bool is_html(std::string_view content_type, std::string_view body);

} // namespace troupe
