// The kind `export`: a crawl's items or a filtered list of jobs as a CSV or NDJSON file, part by
// part in constant memory, on a worker thread. The file appears whole or not at all.
#pragma once

#include "messages/crawl.hpp"
#include "messages/handler.hpp"

#include <filesystem>

namespace troupe {

struct export_options {
  std::filesystem::path folder; ///< made when it is missing; files are named by the export's job id
  int jobs_per_page = static_cast<int>(limits::page_size);
};

/// Args: handlers/args.hpp. Result: {"path":"...","rows":n,"bytes":n}. CSV columns of items: url,
/// status, title, headings, links, bytes, fetched_at, then one per selector of the crawl. The pool
/// and the port must outlive the runs.
void add_export(handler_table& kinds, worker_pool& workers, crawl_port& port,
                export_options options);

/// "2026-11-23T08:55:05.000001Z".
std::string rfc3339(timestamp time);

} // namespace troupe
