// Where else than from flags the options of a command get their values: from variables, and from
// the configuration file. Flags win over variables, and those over the file. Asked by options.cpp.
#pragma once

#include "cli/setting_view.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace troupe::cli {

class option_sources {
public:
  /// An empty variable or key: there is none.
  CLI::Option* bind(CLI::App* app, CLI::Option* option, std::string variable, std::string key);

  /// Before the command is parsed. Variables are bound only to the command that was chosen: a wrong
  /// TROUPE_SLOTS must not break `troupe version`.
  void use_variables(const CLI::App* app);
  /// The variable that a sentence about a wrong option is about, unless a flag was given.
  std::string culprit(const CLI::App* app, const std::string& sentence,
                      const std::vector<std::string>& arguments) const;
  /// After the command was parsed: gives the options that have no value yet those of the file. A
  /// key that only other commands have is passed over; one that nobody has is an error. Throws
  /// std::invalid_argument that names file, line and key.
  void use_file(const CLI::App* app, const std::string& path);
  /// After all of that: what each option of the command is, and what made it so.
  std::vector<setting> settings_of(const CLI::App* app) const;
  /// The option's variable and its key; each may be empty.
  std::pair<std::string, std::string> names_of(const CLI::App* app,
                                               const CLI::Option* option) const;

private:
  struct source {
    CLI::Option* option;
    std::string variable;
    std::string key;
    std::string place; ///< of the value that a file gave
  };

  std::string advice_for(const std::string& key) const;

  std::map<const CLI::App*, std::vector<source>> sources_;
};

} // namespace troupe::cli
