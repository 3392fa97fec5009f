// The scripts that complete in shells: bash runs its own, for every command, option and value; the
// others are read, and looked over by their shell where it is installed.
#include "cli/completion.hpp"
#include "cli/options.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

struct finished {
  int status = -1;
  std::vector<std::string> lines;
};

finished run(const std::string& command) {
  finished out;
  auto* pipe = ::popen((command + " 2>&1").c_str(), "r");
  BOOST_REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> chunk{};
  while (const auto size = std::fread(chunk.data(), 1, chunk.size(), pipe))
    text.append(chunk.data(), size);
  out.status = ::pclose(pipe);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    out.lines.push_back(line);
  return out;
}

bool is_installed(const std::string& program) {
  return run("command -v " + program).status == 0;
}

/// Bash with the script, and with what stands on its line when Tab is pressed.
class bash {
public:
  bash() {
    std::ofstream{script()} << completion_script("bash", describe_commands());
    std::ofstream{asked()} << "source " << script() << " || exit 1\n"
                           << "ask() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _troupe; "
                              "echo \"${COMPREPLY[*]}\"; }\n";
  }
  /// The words behind troupe, the last one unfinished; answered by run_all, in this order.
  void ask(const std::string& words) { std::ofstream{asked(), std::ios::app} << words << "\n"; }
  void tab(const std::string& words) { ask("ask troupe " + words); }
  std::vector<std::string> run_all() {
    const auto done = run("cd " + folder_.path().string() + " && bash -u " + asked());
    BOOST_TEST(done.status == 0);
    return done.lines;
  }
  std::filesystem::path folder() const { return folder_.path(); }

private:
  std::string script() const { return (folder_.path() / "troupe.bash").string(); }
  std::string asked() const { return (folder_.path() / "asked.bash").string(); }

  tests::temp_dir folder_;
};

template<class Visit>
void walk(const command_entry& command, const std::string& path, const Visit& visit) {
  visit(command, path);
  for (const auto& each : command.commands)
    walk(each, path + each.name + " ", visit);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words)
    out += (out.empty() ? "" : " ") + word;
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(bash_completes_every_command_every_option_and_every_fixed_value) {
  bash shell;
  std::vector<std::string> expected;
  walk(describe_commands(), "", [&](const command_entry& command, const std::string& path) {
    std::vector<std::string> commands;
    std::vector<std::string> options;
    for (const auto& each : command.commands)
      commands.push_back(each.name);
    for (const auto& option : command.options) {
      options.insert(options.end(), option.names.begin(), option.names.end());
      for (const auto& name : option.names) {
        if (option.form == value_form::none || option.form == value_form::text)
          continue;
        const auto [typed, offered] =
            option.form == value_form::choice ? std::pair{"''", joined(option.choices)}
            : option.form == value_form::file ? std::pair{"tr", std::string{"troupe.bash"}}
                                              : std::pair{"t", std::string{"there"}};
        shell.tab(path + name + " " + typed);
        expected.push_back(offered);
      }
    }
    shell.tab(path + "-");
    expected.push_back(joined(options));
    if (!commands.empty()) {
      shell.tab(path + "''");
      expected.push_back(joined(commands));
    }
  });
  std::filesystem::create_directory(shell.folder() / "there");
  const auto answers = shell.run_all();
  BOOST_TEST(expected.size() > 50);
  BOOST_TEST(answers == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bash_finds_the_place_behind_options_and_their_values) {
  bash shell;
  shell.tab("jobs li");
  shell.tab("jobs list --state comp");
  shell.tab("jobs list --json --state = comp"); // bash cuts --state=comp at the equals sign
  shell.tab("jobs list --state =");
  shell.tab("jobs list --state=comp"); // unless it was told not to
  shell.tab("jobs list --queue jobs --stat");
  shell.tab("jobs list --queue = serve --stat");
  shell.tab("jobs list --queue ''"); // anything: nothing is offered
  shell.tab("--help jo");
  shell.tab("jobs bulk can");
  shell.tab("jobs bulk --queue q re");
  shell.tab("jobs bulk cancel ''");
  shell.tab("completion ''");
  shell.tab("serve --data-dir th");
  shell.tab("serve --config troupe.b");
  shell.tab("no such command ''");
  shell.ask("complete -p troupe");
  std::filesystem::create_directory(shell.folder() / "there");
  const std::vector<std::string> expected{"list",
                                          "completed",
                                          "completed",
                                          "pending scheduled available running retryable completed "
                                          "cancelled discarded",
                                          "--state=completed",
                                          "--state",
                                          "--state",
                                          "",
                                          "jobs",
                                          "cancel",
                                          "retry reprioritise",
                                          "",
                                          "bash zsh fish",
                                          "there",
                                          "troupe.bash",
                                          "dev serve",
                                          "complete -F _troupe troupe"};
  auto answers = shell.run_all();
  BOOST_REQUIRE(answers.size() == expected.size());
  for (std::size_t i = 0; i < answers.size(); ++i)
    BOOST_TEST(answers[i].starts_with(expected[i]), answers[i] << " is not " << expected[i]);
  BOOST_TEST(answers[7].empty());
  BOOST_TEST(answers[11].empty());
}

BOOST_AUTO_TEST_CASE(zsh_and_fish_know_every_command_option_and_value) {
  const auto program = describe_commands();
  const auto zsh = completion_script("zsh", program);
  const auto fish = completion_script("fish", program);
  BOOST_TEST(zsh.starts_with("#compdef troupe\n"));
  walk(program, "", [&](const command_entry& command, const std::string& path) {
    auto function = "_troupe_" + path;
    std::replace(function.begin(), function.end(), ' ', '_');
    function.pop_back();
    const auto from = zsh.find("\n" + function + "() {\n");
    BOOST_REQUIRE_MESSAGE(from != std::string::npos, function);
    const auto body = zsh.substr(from, zsh.find("\n}\n", from) - from);
    const auto at = path.empty() ? "" : " " + path.substr(0, path.size() - 1);
    for (const auto& each : command.commands) {
      BOOST_TEST(says(body, "\n      '" + each.name + ":"), each.name);
      BOOST_TEST(says(body, "\n    " + each.name + ") " + function + "_" + each.name + " ;;"));
      BOOST_TEST(says(fish, "\ncomplete -c troupe -n '__troupe_at --next" + at + "' -a " + each.name
                                + " -d '"),
                 each.name);
    }
    for (const auto& option : command.options)
      for (const auto& name : option.names) {
        const bool valued = option.form != value_form::none;
        BOOST_TEST(says(body, name + (valued ? "=[" : "[")), function + " " + name);
        BOOST_TEST(says(fish, name.starts_with("--") ? " -l " + name.substr(2) : " -s "), name);
        if (option.form == value_form::choice) {
          BOOST_TEST(says(body, ":(" + joined(option.choices) + ")'"), name);
          BOOST_TEST(
              says(fish, " -l " + name.substr(2) + " -x -a '" + joined(option.choices) + "'"),
              name);
        }
      }
  });
  BOOST_TEST(says(zsh, "'--config=[A file of options\\: troupe.toml; flags and variables win over "
                       "it]:FILE:_files'"));
  BOOST_TEST(says(fish, "complete -c troupe -n '__troupe_at jobs list' -l state -x -a 'pending "));
  BOOST_TEST(says(fish, " -l config -r -F -d "));
}

BOOST_AUTO_TEST_CASE(quotes_and_brackets_of_a_description_stay_text) {
  command_entry program{"troupe", "", {}, {{"x", "It's [a]: \\ 'quoted' $word", {}, {}}}};
  option_entry flag;
  flag.names = {"--flag"};
  flag.description = program.commands[0].description;
  program.commands[0].options = {flag};
  program.commands[0].commands = {};
  const auto zsh = completion_script("zsh", program);
  BOOST_TEST(says(zsh, "'--flag[It'\\''s \\[a\\]\\: \\\\ '\\''quoted'\\'' $word]'"));
  const auto fish = completion_script("fish", program);
  BOOST_TEST(says(fish, "-d 'It\\'s [a]: \\\\ \\'quoted\\' $word'"));
}

BOOST_AUTO_TEST_CASE(shells_that_are_installed_find_no_fault) {
  const tests::temp_dir folder;
  for (const auto& shell : shells) {
    if (!is_installed(shell)) {
      BOOST_TEST_MESSAGE(shell << " is not installed: its script was read only, not looked over");
      continue;
    }
    const auto path = (folder.path() / ("troupe." + shell)).string();
    std::ofstream{path} << completion_script(shell, describe_commands());
    const auto looked = run(shell + " -n " + path);
    BOOST_TEST(looked.status == 0, shell << ": " << joined(looked.lines));
    BOOST_TEST(looked.lines.empty(), joined(looked.lines));
  }
}
