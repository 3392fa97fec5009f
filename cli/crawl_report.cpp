#include "cli/crawl_report.hpp"

#include "cli/table.hpp"
#include "cli/text.hpp"

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::cli {

namespace {

constexpr std::size_t longest_reason = 100;
constexpr const char* other_reasons = "other reasons";

std::string decimals(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

std::string json_text(const nlohmann::json& value) {
  return printable_json(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

} // namespace

std::string failure_reason(std::string_view error) {
  auto reason = error.substr(0, error.find(": "));
  reason = reason.substr(0, longest_reason);
  return reason.empty() ? "no reason given" : std::string{reason};
}

void count_failure(std::map<std::string, std::int64_t>& reasons, std::string_view error) {
  auto reason = failure_reason(error);
  if (reasons.size() >= most_reasons && !reasons.contains(reason))
    reason = other_reasons;
  ++reasons[reason];
}

std::string summary_text(const crawl_summary& s) {
  std::string out = "crawl " + std::to_string(s.job.value) + " of " + printable(s.url) + "\n";
  table rows({{"", false}, {"", true}});
  rows.add({"pages", std::to_string(s.pages)});
  rows.add({"items", std::to_string(s.items)});
  rows.add({"failed", std::to_string(s.failed)});
  rows.add({"size", bytes_text(s.bytes)});
  rows.add({"seconds", decimals(s.seconds, 2)});
  rows.add({"pages/s", decimals(s.rate, 1)});
  auto text = rows.take();
  out += text.substr(text.find('\n') + 1); // no titles
  if (!s.out.empty())
    out += "written to " + printable(s.out) + "\n";
  if (s.failures.empty())
    return out;
  std::vector<std::pair<std::string, std::int64_t>> reasons(s.failures.begin(), s.failures.end());
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  table failures({{"FAILED", true}, {"REASON"}});
  for (const auto& [reason, count] : reasons)
    failures.add({std::to_string(count), reason});
  return out + failures.take();
}

std::string summary_json(const crawl_summary& s) {
  nlohmann::json out{{"job", std::to_string(s.job.value)},
                     {"url", s.url},
                     {"pages", s.pages},
                     {"items", s.items},
                     {"failed", s.failed},
                     {"bytes", s.bytes},
                     {"seconds", rounded(s.seconds)},
                     {"pages_per_second", rounded(s.rate)},
                     {"failures", nlohmann::json::object()},
                     {"out", nullptr}};
  for (const auto& [reason, count] : s.failures)
    out["failures"][reason] = count;
  if (!s.out.empty())
    out["out"] = s.out;
  return json_text(out);
}

std::string scrape_args(const scrape_settings& settings) {
  nlohmann::json args{{"url", settings.url}};
  if (settings.max_pages)
    args["max_pages"] = *settings.max_pages;
  if (settings.max_depth)
    args["max_depth"] = *settings.max_depth;
  for (const auto& [name, xpath] : settings.selectors)
    args["selectors"].push_back({{"name", name}, {"xpath", xpath}});
  return args.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool same_args(std::string_view one, std::string_view other) {
  const auto a = nlohmann::json::parse(one, nullptr, false);
  return !a.is_discarded() && a == nlohmann::json::parse(other, nullptr, false);
}

std::string export_args(job_id crawl, const std::string& out) {
  return nlohmann::json{{"what", "items"},
                        {"format", out.ends_with(".ndjson") ? "ndjson" : "csv"},
                        {"crawl", std::to_string(crawl.value)}}
      .dump();
}

std::string url_fault(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  const bool web = url.starts_with("http://") || url.starts_with("https://");
  if (web && url.size() <= limits::url_bytes
      && curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK)
    return {};
  return "'" + printable(url)
         + "' is no URL to crawl; give one such as https://example.org/index.html";
}

} // namespace troupe::cli
