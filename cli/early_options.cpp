#include "cli/early_options.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace troupe::cli {

namespace {

constexpr std::array<std::string_view, 4> with_value{"--url", "--ca-file", "--token-file",
                                                     "--request-timeout"};
constexpr std::array<std::string_view, 7> without_value{"--json",    "-q",      "--quiet",   "-v",
                                                        "--verbose", "--plain", "--no-color"};

bool is_one_of(const auto& names, std::string_view word) {
  return std::find(names.begin(), names.end(), word) != names.end();
}

CLI::App* subcommand_of(CLI::App& app, const std::string& word) {
  const auto found =
      app.get_subcommands([&](const CLI::App* each) { return each->check_name(word); });
  return found.empty() ? nullptr : found.front();
}

} // namespace

std::vector<std::string> options_behind_command(CLI::App& program,
                                                std::vector<std::string> arguments) {
  std::vector<std::string> words;
  std::vector<std::string> options;
  auto* command = &program;
  std::size_t at = 0;
  for (; at < arguments.size() && !command->get_subcommands({}).empty(); ++at) {
    const auto& word = arguments[at];
    const auto equals = word.find('=');
    if (auto* next = subcommand_of(*command, word)) {
      command = next;
      words.push_back(word);
    } else if (is_one_of(without_value, word)
               || (equals != std::string::npos && is_one_of(with_value, word.substr(0, equals)))) {
      options.push_back(word);
    } else if (is_one_of(with_value, word) && at + 1 < arguments.size()) {
      options.push_back(word);
      options.push_back(arguments[++at]);
    } else {
      break;
    }
  }
  // Without a whole command they are of no use: that is what is said then.
  if (command->get_subcommands({}).empty())
    words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
  return words;
}

} // namespace troupe::cli
