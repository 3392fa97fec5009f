// What `troupe scrape` asks for and what it says at the end. Pure.
#pragma once

#include "cli/options.hpp"
#include "messages/job.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace troupe::cli {

struct crawl_summary {
  job_id job;
  std::string url;
  std::string out; ///< the file written, or empty
  std::int64_t pages = 0;
  std::int64_t items = 0; ///< rows: pages fetched and pages that failed
  std::int64_t failed = 0;
  std::int64_t bytes = 0;
  double seconds = 0; ///< of this run
  double rate = 0;    ///< pages per second of this run
  std::map<std::string, std::int64_t> failures;
};

/// Distinct reasons that are counted apart; further ones share one entry.
inline constexpr std::size_t most_reasons = 50;

/// The kind of failure an item's error names: "HTTP 404", "timeout", "connect".
std::string failure_reason(std::string_view error);
void count_failure(std::map<std::string, std::int64_t>& reasons, std::string_view error);

std::string summary_text(const crawl_summary& summary);
std::string summary_json(const crawl_summary& summary);

/// Args of the `scrape` job.
std::string scrape_args(const scrape_settings& settings);
/// True when both JSON texts are the same value.
bool same_args(std::string_view one, std::string_view other);
/// Args of the `export` job that makes the file.
std::string export_args(job_id crawl, const std::string& out);

/// A sentence about what is wrong with the URL, or empty.
std::string url_fault(const std::string& url);

} // namespace troupe::cli
