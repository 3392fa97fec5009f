#include "cli/command_tree.hpp"

#include "cli/option_sources.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <tuple>
#include <utility>

namespace troupe::cli {

namespace {

/// "TEXT:{a,b}" and "INT:INT in [1 - 9]", as CLI11 says what a value may be.
void read_type(option_entry& into, const std::string& type) {
  into.type = type.substr(0, type.find(':'));
  const auto cut = [&](const std::string& open, char close) {
    const auto from = type.find(open);
    const auto to = from == std::string::npos ? from : type.find(close, from);
    return to == std::string::npos ? std::string{}
                                   : type.substr(from + open.size(), to - from - open.size());
  };
  into.range = cut(" in [", ']');
  const auto words = cut(":{", '}');
  for (std::size_t from = 0; !words.empty() && from <= words.size();) {
    const auto comma = std::min(words.find(',', from), words.size());
    into.choices.push_back(words.substr(from, comma - from));
    from = comma + 1;
  }
  into.form = !into.choices.empty() ? value_form::choice
              : into.type == "FILE" ? value_form::file
              : into.type == "DIR"  ? value_form::directory
                                    : value_form::text;
}

option_entry read_option(const CLI::Option& option) {
  option_entry out;
  for (const auto& name : option.get_snames())
    out.names.push_back("-" + name);
  for (const auto& name : option.get_lnames())
    out.names.push_back("--" + name);
  if (out.names.empty())
    out.place = option.get_name(true);
  out.description = option.get_description();
  out.default_text = option.get_default_str();
  out.required = option.get_required();
  out.of_all = option.get_group() == group_of_all;
  if (option.get_items_expected_max() == 0)
    return out;
  read_type(out, option.get_type_name());
  out.several = option.get_items_expected_max() > 1
                || option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return out;
}

} // namespace

command_entry read_commands(const CLI::App& app, const option_sources& sources) {
  command_entry out;
  out.name = app.get_name();
  out.description = app.get_description();
  for (const auto* option : app.get_options()) {
    auto& entry = out.options.emplace_back(read_option(*option));
    std::tie(entry.variable, entry.key) = sources.names_of(&app, option);
  }
  for (const auto* command : app.get_subcommands({}))
    out.commands.push_back(read_commands(*command, sources));
  return out;
}

} // namespace troupe::cli
