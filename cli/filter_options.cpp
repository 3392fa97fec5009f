#include "cli/filter_options.hpp"

#include "cli/choice.hpp"
#include "cli/http_client.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"
#include "messages/job_limits.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <stdexcept>

namespace troupe::cli {

namespace {

struct text_option {
  const char* name; ///< in queries and bodies
  std::optional<std::string> filter_settings::*value;
};
constexpr text_option before_tags[]{{"state", &filter_settings::state},
                                    {"queue", &filter_settings::queue},
                                    {"kind", &filter_settings::kind}};
constexpr text_option behind_tags[]{{"limit_key", &filter_settings::limit_key},
                                    {"created_from", &filter_settings::created_from},
                                    {"created_before", &filter_settings::created_before}};

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

void add_filter_options(CLI::App& app, filter_settings& filter) {
  app.add_option("--state", filter.state, "Only jobs in this state")->check(one_of(state_names()));
  app.add_option("--queue", filter.queue, "Only jobs of this queue");
  app.add_option("--kind", filter.kind, "Only jobs of this kind");
  app.add_option("--tag", filter.tags, "Only jobs with this tag (repeatable: with all of them)")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--limit-key", filter.limit_key, "Only jobs with this limit_key");
  app.add_option("--created-from", filter.created_from,
                 "Only jobs made at this time or later, such as 2030-01-31T08:00:00Z");
  app.add_option("--created-before", filter.created_before, "Only jobs made before this time");
  app.add_option("--args", filter.args, "Only jobs whose args contain this JSON object");
}

bool is_given(const filter_settings& filter) {
  return filter.state || filter.queue || filter.kind || !filter.tags.empty() || filter.limit_key
         || filter.created_from || filter.created_before || filter.args;
}

void check_filter(const filter_settings& filter) {
  if (filter.state)
    check_state(*filter.state);
  if (filter.tags.size() > limits::filter_tags)
    throw std::invalid_argument("--tag may come " + std::to_string(limits::filter_tags)
                                + " times at most");
  if (filter.args && !nlohmann::json::parse(*filter.args, nullptr, false).is_object())
    throw std::invalid_argument(
        "--args is not a JSON object; for example --args '{\"customer\":{\"id\":7}}'");
}

std::string filter_query(const filter_settings& filter) {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& value) {
    out += '&' + name + '=' + http_client::escaped(value);
  };
  for (const auto& [name, value] : before_tags)
    if (filter.*value)
      add(name, *(filter.*value));
  for (const auto& tag : filter.tags)
    add("tag", tag);
  for (const auto& [name, value] : behind_tags)
    if (filter.*value)
      add(name, *(filter.*value));
  if (filter.args)
    add("args", *filter.args);
  return out;
}

std::string filter_members(const filter_settings& filter) {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& json) {
    out += (out.empty() ? "\"" : ",\"") + name + "\":" + json;
  };
  for (const auto& [name, value] : before_tags)
    if (filter.*value)
      add(name, json_string(*(filter.*value)));
  if (!filter.tags.empty()) {
    std::string tags;
    for (const auto& tag : filter.tags)
      tags += (tags.empty() ? "" : ",") + json_string(tag);
    add("tags", '[' + tags + ']');
  }
  for (const auto& [name, value] : behind_tags)
    if (filter.*value)
      add(name, json_string(*(filter.*value)));
  if (filter.args) // as it is: a parser would round its numbers
    add("args", *filter.args);
  return out;
}

} // namespace troupe::cli
