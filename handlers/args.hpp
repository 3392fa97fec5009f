// The args of the built-in kinds, read strictly: unknown and repeated fields, wrong types and
// values out of range are refused with the field's name. The one place in handlers/ that reads JSON
// text from outside, so nlohmann/json stays in args.cpp; nesting is limited before it sees the
// text.
#pragma once

#include "messages/crawl.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

namespace limits {
constexpr int handler_args_depth = 8; ///< the built-in kinds' args are nearly flat
constexpr std::size_t xpath_bytes = 4096;
constexpr std::size_t fail_message_bytes = 4096;
constexpr std::size_t note_bytes = 128;
constexpr std::int64_t trial_ms = 60'000;
} // namespace limits

struct bad_args {
  std::string reason; ///< begins with the field's name
};
template<class T>
using args_or = std::variant<T, bad_args>;

/// {"url", "max_depth"?, "max_pages"?, "selectors"?: [{"name","xpath"}] or {"name":"xpath"}}.
/// The URL comes back in normal form; every XPath compiles.
args_or<crawl_spec> read_scrape_args(std::string_view json);

struct page_args {
  job_id crawl;
  std::string url;
  int depth = 0;
};
/// {"crawl":"17","url":"...","depth":2}, as the recording of pages writes them.
args_or<page_args> read_page_args(std::string_view json);

struct export_args {
  enum class subject : std::uint8_t { items, jobs };
  enum class file_format : std::uint8_t { csv, ndjson };
  subject what = subject::items;
  job_id crawl; ///< for items
  file_format format = file_format::csv;
  job_filter filter; ///< for jobs
};
/// {"what":"items","crawl":"17","format":"csv"} or
/// {"what":"jobs","format":"ndjson","state"?,"queue"?,"kind"?}.
args_or<export_args> read_export_args(std::string_view json);

struct sleep_args {
  std::chrono::milliseconds time{0};
};
/// {"ms":n}, n from 0 to a day.
args_or<sleep_args> read_sleep_args(std::string_view json);

struct fail_args {
  int times = 1;
  std::string message = "failed as asked";
};
/// {"times"?:n,"message"?:"..."}.
args_or<fail_args> read_fail_args(std::string_view json);

struct effect_args {
  std::chrono::milliseconds time{0};
};
/// {"ms"?:n,"note"?:any short text,"key"?:the same}, n from 0 to a minute. The texts are for those
/// who look at the job.
args_or<effect_args> read_effect_args(std::string_view json);

struct trouble_args {
  std::string how;
  std::chrono::milliseconds time{1000};
};
/// {"how":"...","ms"?:n,"note"?:"..."}, n from 0 to a minute. Which words there are is not looked
/// at.
args_or<trouble_args> read_trouble_args(std::string_view json);

/// The values of an item's `fields` (JSON object) in the order of `names`: the text itself for a
/// string or a single match, JSON for anything else, empty for a missing one or no match.
std::vector<std::string> field_values(std::string_view fields, const std::vector<selector>& names);

} // namespace troupe
