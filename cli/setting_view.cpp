#include "cli/setting_view.hpp"

#include "cli/table.hpp"
#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <charconv>

namespace troupe::cli {

namespace {

constexpr const char* hidden = "(hidden)";

bool is_hidden(const setting& each) {
  return is_secret(each.name) && !each.values.empty() && !each.values.front().empty();
}

std::string text_of(const setting& each) {
  if (is_hidden(each))
    return hidden;
  std::string out;
  for (const auto& value : each.values)
    out += (out.empty() ? "" : ", ") + value;
  return out;
}

nlohmann::ordered_json json_of(const setting& each) {
  if (is_hidden(each))
    return hidden;
  if (each.form == setting_form::list)
    return each.values;
  if (each.values.empty() || each.values.front().empty())
    return nullptr;
  const auto& value = each.values.front();
  if (each.form == setting_form::yes_no)
    return value == "true";
  if (each.form == setting_form::number) {
    if (auto read = nlohmann::ordered_json::parse(value, nullptr, false); read.is_number())
      return read;
    double number = 0; // ".5" is a number to the options, and not to JSON
    if (std::from_chars(value.data(), value.data() + value.size(), number).ec == std::errc{})
      return number;
  }
  return value;
}

} // namespace

std::string_view name_of(setting_origin origin) {
  switch (origin) {
  case setting_origin::file:
    return "file";
  case setting_origin::variable:
    return "variable";
  case setting_origin::flag:
    return "flag";
  case setting_origin::standard:
    break;
  }
  return "default";
}

bool is_secret(std::string_view name) {
  if (name.ends_with("_file") || name == "require_tokens")
    return false;
  constexpr std::array<std::string_view, 4> words{"password", "token", "secret", "otlp_headers"};
  for (const auto word : words)
    if (name.find(word) != std::string_view::npos)
      return true;
  return false;
}

std::string settings_text(const std::vector<setting>& settings, bool with_origin) {
  std::vector<table_column> columns{{"SETTING"}, {"VALUE"}};
  if (with_origin)
    columns.insert(columns.end(), {{"ORIGIN"}, {"FROM"}});
  table rows(columns);
  for (const auto& each : settings)
    rows.add({each.name, text_of(each), std::string{name_of(each.origin)}, each.from});
  return rows.take();
}

std::string settings_json(const std::vector<setting>& settings, bool with_origin) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& each : settings) {
    nlohmann::ordered_json one{{"name", each.name}, {"value", json_of(each)}};
    if (with_origin) {
      one["origin"] = name_of(each.origin);
      one["from"] =
          each.from.empty() ? nlohmann::ordered_json{} : nlohmann::ordered_json(each.from);
    }
    list.push_back(std::move(one));
  }
  const nlohmann::ordered_json out{{"settings", std::move(list)}};
  return printable_json(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

} // namespace troupe::cli
