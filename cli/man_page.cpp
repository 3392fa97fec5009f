#include "cli/man_page.hpp"

#include "cli/exit_code.hpp"
#include "cli/text.hpp"

#include <map>
#include <utility>

namespace troupe::cli {

namespace {

std::string bold(std::string_view text) {
  return "\\fB" + roff_text(text) + "\\fR";
}

std::string italic(std::string_view text) {
  return "\\fI" + roff_text(text) + "\\fR";
}

/// A paragraph under a tag.
std::string tagged(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + text + "\n";
}

std::string tag_of(const option_entry& option) {
  if (option.names.empty())
    return italic(option.place) + (option.several ? "..." : "");
  std::string names;
  for (const auto& name : option.names)
    names += (names.empty() ? "" : ", ") + bold(name);
  if (option.form == value_form::none)
    return names;
  return names + " " + italic(option.type.empty() ? "VALUE" : option.type)
         + (option.several ? " ..." : "");
}

std::string words_of(const option_entry& option) {
  auto out = roff_text(option.description);
  const auto add = [&](const char* before, const std::string& text) {
    if (!text.empty())
      out += std::string{out.empty() ? "" : ". "} + before + text;
  };
  std::string choices;
  for (const auto& choice : option.choices)
    choices += (choices.empty() ? "" : ", ") + bold(choice);
  add("One of ", choices);
  add("Range ", roff_text(option.range));
  add("Default: ", roff_text(option.default_text));
  add("Variable: ", option.variable.empty() ? "" : bold(option.variable));
  add("Key: ", option.key.empty() ? "" : bold(option.key));
  return out + ".";
}

std::string synopsis_of(const command_entry& command, const std::string& path) {
  auto out = bold(path);
  for (const auto& option : command.options)
    if (option.names.empty())
      out += " " + std::string{option.required ? "" : "["} + italic(option.place)
             + (option.several ? "..." : "") + (option.required ? "" : "]");
  return out + " [" + italic("options") + "]";
}

/// Of any command that does something: all of them have the same.
const command_entry& first_leaf(const command_entry& command) {
  return command.commands.empty() ? command : first_leaf(command.commands.front());
}

bool is_help(const option_entry& option) {
  return !option.names.empty() && option.names.back() == "--help";
}

void append_command(std::string& out, const command_entry& command, const std::string& path) {
  if (command.commands.empty()) {
    out += ".SS " + roff_text(path) + "\n" + roff_text(command.description) + ".\n.PP\n"
           + synopsis_of(command, path) + "\n";
    for (const auto& option : command.options)
      if (!is_help(option) && !option.of_all)
        out += tagged(tag_of(option), words_of(option));
  }
  for (const auto& each : command.commands)
    append_command(out, each, path + " " + each.name);
}

/// Of each variable what it gives to which commands.
using variable_uses = std::map<std::string, std::pair<std::string, std::string>>;

void collect_variables(variable_uses& into, const command_entry& command, const std::string& path) {
  for (const auto& option : command.options) {
    if (option.variable.empty())
      continue;
    auto& [flag, commands] = into[option.variable];
    flag = option.names.front();
    commands += (commands.empty() ? "" : ", ") + path;
  }
  for (const auto& each : command.commands)
    collect_variables(into, each, path + (path.empty() ? "" : " ") + each.name);
}

constexpr const char* description = R"(.SH DESCRIPTION
Troupe runs jobs. They come in by HTTP, SQL or C++, are kept in PostgreSQL, run at least once, with
retries, schedules and limits, and can be looked up afterwards.
.PP
\fBtroupe dev\fR and \fBtroupe serve\fR are nodes: they run jobs until a signal. Most other commands
ask a node by HTTP, see \fB\-\-url\fR. Data goes to standard output, talk to standard error.
With \fB\-\-json\fR a command prints JSON.
.PP
An option of a node comes from a flag, a variable or a file; a flag wins over a variable, and that
over the file. \fBtroupe config show \-\-origin\fR says where each comes from.
)";

constexpr const char* files = R"(.SH FILES
.TP
\fItroupe.toml\fR
Options, by the keys named above; read when \fB\-\-config\fR or \fBTROUPE_CONFIG\fR names it.
.TP
\fI/var/lib/troupe\fR, \fI\(ti/.local/share/troupe\fR
Where \fB\-\-data\-dir\fR points to by default, for root and for others: the private PostgreSQL and
exports.
)";

} // namespace

std::string roff_text(std::string_view text) {
  std::string out;
  const auto shown = printable(text);
  for (const char c : shown) {
    switch (c) {
    case '\\':
      out += "\\e";
      break;
    case '-':
      out += "\\-";
      break;
    case '\'':
      out += "\\(aq";
      break;
    case '"':
      out += "\\(dq";
      break;
    case '`':
      out += "\\(ga";
      break;
    case '^':
      out += "\\(ha";
      break;
    case '~':
      out += "\\(ti";
      break;
    default:
      out += c;
    }
  }
  // A dot at the start of a line would be a request.
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string man_page(const command_entry& program, std::string_view version) {
  const auto name = roff_text(program.name);
  std::string upper;
  for (const char c : program.name)
    upper += static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  auto summary = program.description;
  while (summary.ends_with('.'))
    summary.pop_back();
  std::string out = ".\\\" Made by 'troupe man' from the commands themselves.\n.TH "
                    + roff_text(upper) + " 1 \"\" \"" + name + " " + roff_text(version)
                    + "\" \"User Commands\"\n.nh\n.ad l\n.SH NAME\n" + name + " \\- "
                    + roff_text(summary) + "\n.SH SYNOPSIS\n" + bold(program.name) + " "
                    + italic("COMMAND") + " [" + italic("options") + "]\n" + description
                    + ".SH OPTIONS\n";
  for (const auto& option : program.options)
    out += tagged(tag_of(option), words_of(option));
  out += ".PP\nEvery command takes\n";
  for (const auto& option : first_leaf(program).options)
    if (option.of_all)
      out += tagged(tag_of(option), words_of(option));
  out += ".SH COMMANDS\n";
  append_command(out, program, program.name);
  out += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] : exit_meanings)
    out += tagged(bold(std::to_string(static_cast<int>(code))), roff_text(meaning));
  out += ".SH ENVIRONMENT\n";
  variable_uses variables;
  collect_variables(variables, program, "");
  for (const auto& [variable, use] : variables)
    out += tagged(bold(variable), bold(use.first) + " of " + roff_text(use.second));
  return out + files;
}

} // namespace troupe::cli
