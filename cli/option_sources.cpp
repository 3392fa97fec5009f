#include "cli/option_sources.hpp"

#include "cli/config_file.hpp"
#include "cli/plain_words.hpp"
#include "cli/suggest.hpp"
#include "cli/text.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace troupe::cli {

namespace {

bool is_set(const std::string& variable) {
  const char* value = variable.empty() ? nullptr : std::getenv(variable.c_str());
  return value != nullptr && *value != '\0';
}

} // namespace

CLI::Option* option_sources::bind(CLI::App* app, CLI::Option* option, std::string variable,
                                  std::string key) {
  sources_[app].push_back({option, std::move(variable), std::move(key), {}});
  return option;
}

void option_sources::use_variables(const CLI::App* app) {
  for (const auto& each : sources_[app])
    if (!each.variable.empty())
      each.option->envname(each.variable);
}

std::string option_sources::culprit(const CLI::App* app, const std::string& sentence,
                                    const std::vector<std::string>& arguments) const {
  const auto of = sources_.find(app);
  if (of == sources_.end())
    return {};
  for (const auto& each : of->second) {
    const auto& names = each.option->get_lnames();
    const bool meant = std::any_of(names.begin(), names.end(), [&](const auto& name) {
      return sentence.find("--" + name) != std::string::npos;
    });
    const bool given = std::any_of(names.begin(), names.end(), [&](const auto& name) {
      return std::any_of(arguments.begin(), arguments.end(),
                         [&](const auto& a) { return a.starts_with("--" + name); });
    });
    if (meant && !given && is_set(each.variable))
      return each.variable;
  }
  return {};
}

std::string option_sources::advice_for(const std::string& key) const {
  std::vector<std::string> known;
  for (const auto& [app, all] : sources_)
    for (const auto& each : all)
      if (!each.key.empty() && std::find(known.begin(), known.end(), each.key) == known.end())
        known.push_back(each.key);
  auto near = nearest(key, known);
  // In the wrong table.
  const auto name = key.substr(key.rfind('.') + 1);
  for (const auto& each : known)
    if (near.empty() && each.substr(each.rfind('.') + 1) == name)
      near = each;
  if (!near.empty())
    return "; did you mean " + near + "?";
  std::sort(known.begin(), known.end());
  std::string all;
  for (const auto& each : known)
    all += (all.empty() ? "" : ", ") + each;
  return "; keys are " + all;
}

std::vector<setting> option_sources::settings_of(const CLI::App* app) const {
  std::vector<setting> out;
  const auto of = sources_.find(app);
  if (of == sources_.end())
    return out;
  const auto& flags = app->parse_order();
  for (const auto& [option, variable, key, place] : of->second) {
    auto& each = out.emplace_back();
    each.name = key.empty() ? option->get_lnames().front() : key;
    std::replace(each.name.begin(), each.name.end(), '-', '_');
    if (std::find(flags.begin(), flags.end(), option) != flags.end()) {
      each.origin = setting_origin::flag;
      each.from = "--" + option->get_lnames().front();
    } else if (!place.empty()) {
      each.origin = setting_origin::file;
      each.from = place;
    } else if (option->count() > 0) {
      each.origin = setting_origin::variable;
      each.from = variable;
    }
    const auto type = option->get_type_name();
    if (option->get_items_expected_max() == 0) {
      each.form = setting_form::yes_no;
      each.values = {option->count() > 0 && option->as<bool>() ? "true" : "false"};
    } else if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll) {
      each.form = setting_form::list;
      each.values = option->results();
    } else {
      if (type.starts_with("INT") || type.starts_with("FLOAT"))
        each.form = setting_form::number;
      each.values = {option->count() > 0 ? option->results().back() : option->get_default_str()};
    }
  }
  return out;
}

std::pair<std::string, std::string> option_sources::names_of(const CLI::App* app,
                                                             const CLI::Option* option) const {
  if (const auto of = sources_.find(app); of != sources_.end())
    for (const auto& each : of->second)
      if (each.option == option)
        return {each.variable, each.key};
  return {};
}

void option_sources::use_file(const CLI::App* app, const std::string& path) {
  for (const auto& entry : read_config_file(path)) {
    const auto where = printable(path) + ", line " + std::to_string(entry.line) + ": ";
    bool known = false;
    for (auto& [owner, all] : sources_)
      for (auto& each : all) {
        if (each.key != entry.key)
          continue;
        known = true;
        if (owner != app || each.option->count() > 0)
          continue;
        try {
          each.option->add_result(entry.values);
          each.option->run_callback();
          each.place = path + ", line " + std::to_string(entry.line);
        } catch (const CLI::Error& e) {
          throw std::invalid_argument(where + printable(entry.key) + ": "
                                      + printable(plain_words(*app, e.what())));
        }
      }
    if (!known)
      throw std::invalid_argument(where + "there is no key " + printable(entry.key)
                                  + advice_for(entry.key));
  }
}

} // namespace troupe::cli
