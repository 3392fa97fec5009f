// The commands and their options as data, read from the parser, so that what is made of them
// (completion, the manual page) cannot lag behind what is understood.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace troupe::cli {

class option_sources;

enum class value_form { none, text, choice, file, directory };

struct option_entry {
  std::vector<std::string> names; ///< "--queue", "-h"; empty: it has a place instead of a name
  std::string place;              ///< the name of a place: "id"
  std::string description;
  value_form form = value_form::none;
  std::string type;                 ///< what its value is called: "TEXT", "FILE"; empty: none
  std::string range;                ///< of a number: "1 - 1000"
  std::vector<std::string> choices; ///< in the order in which they are told
  std::string default_text;
  std::string variable; ///< that gives it, too
  std::string key;      ///< likewise, in the configuration file
  bool required = false;
  bool several = false; ///< may be given more than once
  bool of_all = false;  ///< every command has it
};

struct command_entry {
  std::string name;
  std::string description;
  std::vector<option_entry> options; ///< as they were added; places keep their order
  std::vector<command_entry> commands;
};

/// The heading in the help under which the options are that every command has.
inline constexpr const char* group_of_all = "Options of every command";

command_entry read_commands(const CLI::App& app, const option_sources& sources);

} // namespace troupe::cli
