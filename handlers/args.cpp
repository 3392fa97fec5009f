#include "handlers/args.hpp"

#include "handlers/page.hpp"
#include "handlers/url.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <set>
#include <stdexcept>

namespace troupe {

namespace {

using json = nlohmann::json;

/// Thrown inside this file only; each reader turns it into bad_args.
struct refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Deepest nesting of arrays and objects, strings skipped. nlohmann/json overflows the stack when
/// it copies or prints what is nested a hundred thousand deep.
int nesting(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

/// The text as an object without repeated keys.
json read_object(std::string_view text) {
  if (nesting(text) > limits::handler_args_depth)
    throw refused("args: nested deeper than " + std::to_string(limits::handler_args_depth));
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start)
      keys.emplace_back();
    else if (event == json::parse_event_t::object_end)
      keys.pop_back();
    else if (event == json::parse_event_t::key
             && !keys.back().insert(value.get_ref<const std::string&>()).second)
      repeated = value.get_ref<const std::string&>();
    return true;
  };
  json object = json::parse(text.begin(), text.end(), watch, false);
  if (object.is_discarded())
    throw refused("args: not valid JSON");
  if (!object.is_object())
    throw refused("args: must be a JSON object");
  if (!repeated.empty())
    throw refused(repeated + ": given more than once");
  return object;
}

void allow_only(const json& object, std::initializer_list<std::string_view> known) {
  for (const auto& item : object.items())
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      throw refused(item.key() + ": unknown field");
}

std::optional<std::string> text_field(const json& object, const char* name, std::size_t limit) {
  const auto found = object.find(name);
  if (found == object.end())
    return std::nullopt;
  if (!found->is_string())
    throw refused(std::string(name) + ": must be a string");
  auto text = found->get<std::string>();
  if (text.empty() || text.size() > limit)
    throw refused(std::string(name) + ": must be 1 to " + std::to_string(limit) + " bytes long");
  if (text.find('\0') != std::string::npos)
    throw refused(std::string(name) + ": must not contain NUL");
  return text;
}

std::string required_text(const json& object, const char* name, std::size_t limit) {
  auto text = text_field(object, name, limit);
  if (!text)
    throw refused(std::string(name) + ": is required");
  return *std::move(text);
}

/// A JSON integer, not a float and not a boolean: nlohmann/json would convert both silently.
std::optional<std::int64_t> integer_field(const json& object, const char* name, std::int64_t lowest,
                                          std::int64_t highest) {
  const auto found = object.find(name);
  if (found == object.end())
    return std::nullopt;
  const bool fits = found->is_number_unsigned()
                        ? found->get<std::uint64_t>() <= static_cast<std::uint64_t>(highest)
                        : found->is_number_integer();
  const auto value = fits ? found->get<std::int64_t>() : 0;
  if (!fits || value < lowest || value > highest)
    throw refused(std::string(name) + ": must be an integer from " + std::to_string(lowest) + " to "
                  + std::to_string(highest));
  return value;
}

std::string url_field(const json& object) {
  auto url = normalise_url(required_text(object, "url", limits::url_bytes));
  if (auto* refusal = std::get_if<url_refusal>(&url))
    throw refused("url: " + refusal->reason);
  return std::get<std::string>(std::move(url));
}

job_id id_field(const json& object, const char* name) {
  const auto text = required_text(object, name, 20);
  job_id id;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id.value);
  if (error != std::errc{} || end != text.data() + text.size() || id.value < 1 || text[0] == '0')
    throw refused(std::string(name) + ": must be a job id, as a string of digits");
  return id;
}

selector one_selector(const json& object) {
  if (!object.is_object())
    throw refused("selectors: each must be an object with \"name\" and \"xpath\"");
  allow_only(object, {"name", "xpath"});
  return {required_text(object, "name", limits::name_length),
          required_text(object, "xpath", limits::xpath_bytes)};
}

std::vector<selector> selectors_field(const json& object) {
  std::vector<selector> list;
  const auto found = object.find("selectors");
  if (found == object.end())
    return list;
  if (!found->is_array() && !found->is_object())
    throw refused("selectors: must be an array or an object");
  if (found->size() > limits::selectors)
    throw refused("selectors: at most " + std::to_string(limits::selectors));
  for (const auto& item : found->items())
    list.push_back(found->is_array()
                       ? one_selector(item.value())
                       : one_selector(json{{"name", item.key()}, {"xpath", item.value()}}));
  std::set<std::string> names;
  for (const auto& s : list)
    if (!names.insert(s.name).second)
      throw refused("selectors: the name \"" + s.name + "\" is given more than once");
  const auto compiled = compiled_selectors::compile(list);
  if (const auto* why = std::get_if<std::string>(&compiled))
    throw refused("selectors: " + *why);
  return list;
}

std::optional<std::string> name_field(const json& object, const char* name) {
  auto text = text_field(object, name, limits::name_length);
  if (text && !is_valid_name(*text))
    throw refused(std::string(name) + ": may hold letters, digits and . _ : - only");
  return text;
}

template<class T, class Read>
args_or<T> guarded(std::string_view text, Read read) {
  try {
    return read(read_object(text));
  } catch (const refused& e) {
    return bad_args{e.what()};
  }
}

} // namespace

args_or<crawl_spec> read_scrape_args(std::string_view text) {
  return guarded<crawl_spec>(text, [](const json& object) {
    allow_only(object, {"url", "max_depth", "max_pages", "selectors"});
    crawl_spec spec;
    spec.url = url_field(object);
    spec.max_depth = static_cast<int>(
        integer_field(object, "max_depth", 0, limits::crawl_depth).value_or(spec.max_depth));
    spec.max_pages = static_cast<int>(
        integer_field(object, "max_pages", 1, limits::crawl_pages).value_or(spec.max_pages));
    spec.selectors = selectors_field(object);
    return spec;
  });
}

args_or<page_args> read_page_args(std::string_view text) {
  return guarded<page_args>(text, [](const json& object) {
    allow_only(object, {"crawl", "url", "depth"});
    const auto depth = integer_field(object, "depth", 0, limits::crawl_depth);
    if (!depth)
      throw refused("depth: is required");
    return page_args{id_field(object, "crawl"), url_field(object), static_cast<int>(*depth)};
  });
}

args_or<export_args> read_export_args(std::string_view text) {
  return guarded<export_args>(text, [](const json& object) {
    export_args args;
    const auto what = required_text(object, "what", limits::name_length);
    if (what != "items" && what != "jobs")
      throw refused("what: must be \"items\" or \"jobs\"");
    const auto format = text_field(object, "format", limits::name_length).value_or("csv");
    if (format != "csv" && format != "ndjson")
      throw refused("format: must be \"csv\" or \"ndjson\"");
    args.format =
        format == "csv" ? export_args::file_format::csv : export_args::file_format::ndjson;
    if (what == "items") {
      allow_only(object, {"what", "format", "crawl"});
      args.crawl = id_field(object, "crawl");
      return args;
    }
    allow_only(object, {"what", "format", "state", "queue", "kind"});
    args.what = export_args::subject::jobs;
    if (const auto state = text_field(object, "state", limits::name_length)) {
      args.filter.state = parse_job_state(*state);
      if (!args.filter.state)
        throw refused("state: there is no state \"" + *state + "\"");
    }
    args.filter.queue = name_field(object, "queue");
    args.filter.kind = name_field(object, "kind");
    return args;
  });
}

args_or<sleep_args> read_sleep_args(std::string_view text) {
  return guarded<sleep_args>(text, [](const json& object) {
    allow_only(object, {"ms"});
    constexpr std::chrono::milliseconds day{std::chrono::hours{24}};
    const auto ms = integer_field(object, "ms", 0, day.count());
    if (!ms)
      throw refused("ms: is required");
    return sleep_args{std::chrono::milliseconds{*ms}};
  });
}

args_or<fail_args> read_fail_args(std::string_view text) {
  return guarded<fail_args>(text, [](const json& object) {
    allow_only(object, {"times", "message"});
    fail_args args;
    args.times = static_cast<int>(
        integer_field(object, "times", 0, limits::max_attempts).value_or(args.times));
    args.message = text_field(object, "message", limits::fail_message_bytes).value_or(args.message);
    return args;
  });
}

args_or<effect_args> read_effect_args(std::string_view text) {
  return guarded<effect_args>(text, [](const json& object) {
    allow_only(object, {"ms", "note", "key"});
    static_cast<void>(text_field(object, "note", limits::note_bytes));
    static_cast<void>(text_field(object, "key", limits::note_bytes));
    return effect_args{
        std::chrono::milliseconds{integer_field(object, "ms", 0, limits::trial_ms).value_or(0)}};
  });
}

args_or<trouble_args> read_trouble_args(std::string_view text) {
  return guarded<trouble_args>(text, [](const json& object) {
    allow_only(object, {"how", "ms", "note"});
    static_cast<void>(text_field(object, "note", limits::note_bytes));
    trouble_args args;
    args.how = text_field(object, "how", limits::note_bytes).value_or("");
    args.time = std::chrono::milliseconds{
        integer_field(object, "ms", 0, limits::trial_ms).value_or(args.time.count())};
    return args;
  });
}

std::vector<std::string> field_values(std::string_view fields, const std::vector<selector>& names) {
  std::vector<std::string> values(names.size());
  const auto object = json::parse(fields.begin(), fields.end(), nullptr, false);
  if (!object.is_object())
    return values;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = object.find(names[i].name);
    if (found == object.end() || found->is_null() || (found->is_array() && found->empty()))
      continue;
    const json& value = found->is_array() && found->size() == 1 ? found->front() : *found;
    values[i] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return values;
}

} // namespace troupe
