// What is said of a command line that is not understood: errors of the parser turned into advice;
// see command_line.hpp.
#include "cli/command_line.hpp"
#include "cli/plain_words.hpp"
#include "cli/suggest.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <utility>

namespace troupe::cli {

refusal command_line::wrong(std::string sentence) {
  auto path = std::string{"troupe"};
  for (auto* app = &app_; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    path += " " + app->get_name();
  }
  return {exit_code::usage,
          "troupe: " + std::move(sentence) + "\nRun '" + path + " --help' for what there is.\n"};
}

std::string command_line::unknown_word(const CLI::App& app, const std::string& word) const {
  std::vector<std::string> candidates;
  const auto name = word.substr(0, word.find('='));
  const bool flag = word.starts_with("-");
  std::string all;
  if (flag)
    for (const auto* option : app.get_options())
      for (const auto& long_name : option->get_lnames())
        candidates.push_back("--" + long_name);
  else
    for (const auto* sub : app.get_subcommands({}))
      candidates.push_back(sub->get_name());
  for (const auto& candidate : candidates)
    all += (all.empty() ? "" : ", ") + candidate;
  if (word.empty())
    return "which command? There are " + all;
  if (flag && std::find(candidates.begin(), candidates.end(), name) != candidates.end())
    return "put " + name + " behind '" + app.get_name() + "'";
  const auto near = nearest(name, candidates);
  auto text = (flag                 ? "there is no option "
               : candidates.empty() ? "unexpected argument '"
                                    : "there is no command '")
              + printable(name) + (flag ? "" : "'");
  if (!near.empty())
    return text + "; did you mean " + near + "?";
  if (!flag) // without its noun
    for (const auto* noun : app.get_subcommands({}))
      for (const auto* verb : noun->get_subcommands({}))
        if (verb->check_name(name))
          return text + "; did you mean " + noun->get_name() + " " + verb->get_name() + "?";
  return candidates.empty() || flag ? text : text + "; commands are " + all;
}

refusal command_line::explain(const CLI::ParseError& error,
                              const std::vector<std::string>& arguments) {
  const auto rest = app_.remaining(true);
  const bool unknown_command =
      chosen()->get_require_subcommand_min() > 0 && !rest.empty() && !rest.front().starts_with("-");
  if (error.get_exit_code() == 0 && !unknown_command)
    return {exit_code::ok, dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr
                               ? std::string{error.what()} + "\n"
                               : app_.help()};
  auto* app = chosen();
  if (arguments.empty())
    return {exit_code::usage, app_.help()};
  if (!rest.empty())
    return wrong(unknown_word(*app, rest.front()));
  if (app->get_require_subcommand_min() > 0)
    return wrong(unknown_word(*app, ""));
  std::string sentence = printable(plain_words(*app, error.what()));
  if (const auto name = sources_.culprit(app, sentence, arguments); !name.empty())
    sentence += " (set by the variable " + name + ")";
  return wrong(std::move(sentence));
}

} // namespace troupe::cli
