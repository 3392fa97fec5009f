#include "cli/completion.hpp"

#include <map>
#include <string_view>

namespace troupe::cli {

namespace {

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string out;
  for (const auto& word : words)
    out += (out.empty() ? "" : between) + word;
  return out;
}

std::string replaced(std::string_view text, char what, std::string_view by) {
  std::string out;
  for (const char c : text)
    if (c == what)
      out += by;
    else
      out += c;
  return out;
}

/// One word of a shell, whatever the text holds.
std::string quoted(std::string_view text) {
  return "'" + replaced(text, '\'', "'\\''") + "'";
}

bool is_place(const option_entry& option) {
  return option.names.empty();
}

std::vector<std::string> names_of(const command_entry& command) {
  std::vector<std::string> out;
  for (const auto& option : command.options)
    out.insert(out.end(), option.names.begin(), option.names.end());
  return out;
}

/// With its path, "jobs list"; the program itself has none.
template<class Visit>
void walk(const command_entry& command, const std::string& path, const Visit& visit) {
  visit(command, path);
  for (const auto& each : command.commands)
    walk(each, path + (path.empty() ? "" : " ") + each.name, visit);
}

/// What stands for a value in the bash script.
std::string bash_value(const option_entry& option) {
  switch (option.form) {
  case value_form::none:
    return "none";
  case value_form::choice:
    return "=" + joined(option.choices);
  case value_form::file:
    return "file";
  case value_form::directory:
    return "directory";
  case value_form::text:
    break;
  }
  return "text";
}

constexpr const char* bash_begin =
    R"sh(# bash completion of troupe, made by 'troupe completion bash'.
# Words: what follows a command. Value of an option or place: none, text, file, directory, or the
# values after an equals sign.
)sh";

constexpr const char* bash_end = R"sh(
_troupe_offer() {
  case $1 in
  =*) mapfile -t COMPREPLY < <(compgen -W "${1#=}" -- "$2") ;;
  file) mapfile -t COMPREPLY < <(compgen -f -- "$2"); compopt -o filenames 2>/dev/null ;;
  directory) mapfile -t COMPREPLY < <(compgen -d -- "$2"); compopt -o filenames 2>/dev/null ;;
  esac
}

_troupe() {
  local cur=${COMP_WORDS[COMP_CWORD]} path= place=0 pending= commands options value word i
  local -a places
  COMPREPLY=()
  _troupe_words ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      _troupe_value "$path" "$word"
      [[ $value == none ]] && continue
      [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
      ((++i >= COMP_CWORD)) && pending=$value
    elif [[ " $commands " == *" $word "* ]]; then
      path=${path:+$path }$word place=0
      _troupe_words "$path"
    else
      ((place++))
    fi
  done
  [[ $cur == '=' ]] && cur=
  if [[ -n $pending ]]; then
    _troupe_offer "$pending" "$cur"
  elif [[ $cur == --*=* ]]; then
    _troupe_value "$path" "${cur%%=*}"
    _troupe_offer "$value" "${cur#*=}"
    COMPREPLY=("${COMPREPLY[@]/#/${cur%%=*}=}")
  elif [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
  elif [[ -n $commands ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
  else
    ((place < ${#places[@]} || ${#places[@]} == 0)) || place=$((${#places[@]} - 1))
    _troupe_offer "${places[place]}" "$cur"
  fi
}

complete -F _troupe troupe
)sh";

std::string bash_script(const command_entry& program) {
  std::string words = "_troupe_words() {\n  case $1 in\n";
  std::map<std::string, std::vector<std::string>> by_value;
  walk(program, "", [&](const command_entry& command, const std::string& path) {
    const auto of_command = path + "|";
    std::vector<std::string> commands;
    std::string places;
    for (const auto& each : command.commands)
      commands.push_back(each.name);
    for (const auto& option : command.options) {
      if (is_place(option))
        places += (places.empty() ? "" : " ") + quoted(bash_value(option));
      for (const auto& name : option.names)
        by_value[bash_value(option)].push_back(quoted(of_command + name));
    }
    words.append("  ").append(quoted(path)).append(")\n");
    words.append("    commands=").append(quoted(joined(commands)));
    words.append("\n    options=").append(quoted(joined(names_of(command))));
    words.append("\n    places=(").append(places).append(") ;;\n");
  });
  std::string values = "_troupe_value() {\n  case \"$1|$2\" in\n";
  for (const auto& [value, options] : by_value)
    values.append("  ")
        .append(joined(options, " |\\\n  "))
        .append(")\n    value=")
        .append(quoted(value))
        .append(" ;;\n");
  return bash_begin + words + "  esac\n}\n\n" + values + "  *) value=none ;;\n  esac\n}\n"
         + bash_end;
}

/// In a specification of zsh's _arguments.
std::string zsh_text(std::string_view text) {
  return replaced(replaced(replaced(replaced(text, '\\', "\\\\"), '[', "\\["), ']', "\\]"), ':',
                  "\\:");
}

std::string zsh_value(const option_entry& option) {
  const auto name = zsh_text(option.type.empty() ? "value" : option.type);
  switch (option.form) {
  case value_form::none:
    return "";
  case value_form::choice:
    return ":" + name + ":(" + joined(option.choices) + ")";
  case value_form::file:
    return ":" + name + ":_files";
  case value_form::directory:
    return ":" + name + ":_files -/";
  case value_form::text:
    break;
  }
  return ":" + name + ": ";
}

std::string zsh_function(const std::string& path) {
  return "_troupe" + (path.empty() ? "" : "_" + replaced(replaced(path, ' ', "_"), '-', "_"));
}

std::string zsh_arguments(const command_entry& command) {
  std::string out = command.commands.empty() ? "  _arguments -s" : "  _arguments -C -s";
  int place = 0;
  for (const auto& option : command.options) {
    for (const auto& name : option.names)
      out += " \\\n    "
             + quoted((option.several ? "*" : "") + name
                      + (option.form != value_form::none && name.starts_with("--") ? "=" : "") + "["
                      + zsh_text(option.description) + "]" + zsh_value(option));
    if (!is_place(option))
      continue;
    const auto value = zsh_value(option);
    out += " \\\n    "
           + quoted((option.several ? "*" : std::to_string(++place)) + ":" + zsh_text(option.place)
                    + value.substr(value.find(':', 1)));
  }
  return out;
}

std::string zsh_script(const command_entry& program) {
  std::string out =
      "#compdef troupe\n# zsh completion of troupe, made by 'troupe completion zsh'.\n";
  walk(program, "", [&](const command_entry& command, const std::string& path) {
    out += "\n" + zsh_function(path) + "() {\n";
    if (command.commands.empty()) {
      out += zsh_arguments(command) + "\n}\n";
      return;
    }
    out += "  local curcontext=\"$curcontext\" state line\n  typeset -A opt_args\n";
    out += zsh_arguments(command) + " \\\n    '1: :->command' \\\n    '*:: :->rest'\n";
    out += "  case $state in\n  command)\n    local -a commands\n    commands=(\n";
    for (const auto& each : command.commands)
      out += "      " + quoted(each.name + ":" + each.description) + "\n";
    out += "    )\n    _describe -t commands command commands\n    ;;\n"
           "  rest)\n    case $words[1] in\n";
    for (const auto& each : command.commands)
      out += "    " + each.name + ") " + zsh_function(path + (path.empty() ? "" : " ") + each.name)
             + " ;;\n";
    out += "    esac\n    ;;\n  esac\n}\n";
  });
  return out
         + "\n# Loaded by compinit it is the body of the function; sourced it registers itself.\n"
           "if [[ $funcstack[1] == _troupe ]]; then\n  _troupe \"$@\"\nelse\n  compdef _troupe "
           "troupe\nfi\n";
}

constexpr const char* fish_begin =
    R"sh(# fish completion of troupe, made by 'troupe completion fish'.

# True when the words before the cursor, options aside, begin with the given command; with --next
# also nothing else follows it yet.
function __troupe_at
  set -l exact 0
  if test "$argv[1]" = --next
    set exact 1
    set -e argv[1]
  end
  set -l words
  for word in (commandline -opc)
    string match -q -- '-*' $word; or set -a words $word
  end
  set -e words[1]
  test (count $words) -ge (count $argv); or return 1
  test $exact -eq 0; or test (count $words) -eq (count $argv); or return 1
  set -l at 0
  for word in $argv
    set at (math $at + 1)
    test "$words[$at]" = "$word"; or return 1
  end
end

complete -c troupe -f
)sh";

std::string fish_quoted(std::string_view text) {
  return "'" + replaced(replaced(text, '\\', "\\\\"), '\'', "\\'") + "'";
}

std::string fish_value(const option_entry& option) {
  switch (option.form) {
  case value_form::none:
    return "";
  case value_form::choice:
    return " -x -a " + fish_quoted(joined(option.choices));
  case value_form::file:
    return " -r -F";
  case value_form::directory:
    return " -x -a '(__fish_complete_directories)'";
  case value_form::text:
    break;
  }
  return " -x";
}

std::string fish_script(const command_entry& program) {
  std::string out = fish_begin;
  walk(program, "", [&](const command_entry& command, const std::string& path) {
    const auto at = [&](const char* how) {
      return "complete -c troupe -n "
             + fish_quoted(std::string{"__troupe_at"} + how + (path.empty() ? "" : " ") + path);
    };
    out += "\n";
    for (const auto& each : command.commands)
      out += at(" --next") + " -a " + each.name + " -d " + fish_quoted(each.description) + "\n";
    for (const auto& option : command.options) {
      if (is_place(option)) {
        if (option.form == value_form::choice)
          out += at(" --next") + " -a " + fish_quoted(joined(option.choices)) + "\n";
        continue;
      }
      // The options of the program itself stand before any command.
      out += at(path.empty() ? " --next" : "");
      for (const auto& name : option.names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      out += fish_value(option) + " -d " + fish_quoted(option.description) + "\n";
    }
  });
  return out;
}

} // namespace

std::string completion_script(const std::string& shell, const command_entry& program) {
  return shell == "bash"  ? bash_script(program)
         : shell == "zsh" ? zsh_script(program)
                          : fish_script(program);
}

} // namespace troupe::cli
