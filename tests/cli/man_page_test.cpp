// The manual page: complete, and free of faults for groff.
#include "cli/exit_code.hpp"
#include "cli/man_page.hpp"
#include "cli/options.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

std::string output_of(const std::string& command) {
  auto* pipe = ::popen(command.c_str(), "r");
  BOOST_REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> chunk{};
  while (const auto size = std::fread(chunk.data(), 1, chunk.size(), pipe))
    text.append(chunk.data(), size);
  BOOST_TEST(::pclose(pipe) == 0, command);
  return text;
}

template<class Visit>
void walk(const command_entry& command, const std::string& path, const Visit& visit) {
  visit(command, path);
  for (const auto& each : command.commands)
    walk(each, path + " " + each.name, visit);
}

} // namespace

BOOST_AUTO_TEST_CASE(text_of_any_kind_stays_text) {
  BOOST_TEST(roff_text("plain words") == "plain words");
  BOOST_TEST(roff_text(".TH is no request") == "\\&.TH is no request");
  BOOST_TEST(roff_text("'so is this'") == "\\(aqso is this\\(aq");
  BOOST_TEST(roff_text(R"(--max-age "x\n")") == R"(\-\-max\-age \(dqx\en\(dq)");
  BOOST_TEST(roff_text("~/`^") == "\\(ti/\\(ga\\(ha");
  BOOST_TEST(roff_text("one\n.two") == "one\\en.two");
}

BOOST_AUTO_TEST_CASE(every_section_command_option_variable_and_exit_code_is_there) {
  const auto program = describe_commands();
  const auto page = man_page(program, "1.2-3");
  BOOST_TEST(says(page, "\n.TH TROUPE 1 \"\" \"troupe 1.2\\-3\" \"User Commands\"\n"));
  std::size_t at = 0;
  for (const auto* section : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS",
                              "EXIT STATUS", "ENVIRONMENT", "FILES"}) {
    const auto found = page.find(std::string{"\n.SH "} + section + "\n", at);
    BOOST_REQUIRE_MESSAGE(found != std::string::npos, section);
    at = found;
  }
  walk(program, "troupe", [&](const command_entry& command, const std::string& path) {
    if (!command.commands.empty())
      return;
    const auto from = page.find("\n.SS " + path + "\n");
    BOOST_REQUIRE_MESSAGE(from != std::string::npos, path);
    const auto body = page.substr(from, page.find("\n.S", from + 4) - from);
    for (const auto& option : command.options) {
      if (option.of_all) {
        const auto options = page.substr(page.find("\n.SH OPTIONS\n"));
        BOOST_TEST(says(options.substr(0, options.find("\n.SH COMMANDS\n")),
                        "\\fB" + roff_text(option.names.back()) + "\\fR"),
                   option.names.back());
        continue;
      }
      for (const auto& name : option.names)
        if (name != "-h" && name != "--help")
          BOOST_TEST(says(body, "\\fB" + roff_text(name) + "\\fR"), path + " " + name);
      if (!option.variable.empty()) {
        BOOST_TEST(says(body, "Variable: \\fB" + option.variable + "\\fR"), path);
        BOOST_TEST(says(page.substr(at - 20'000), "\n\\fB" + option.variable + "\\fR\n"),
                   option.variable);
      }
      for (const auto& choice : option.choices)
        BOOST_TEST(says(body, "\\fB" + choice + "\\fR"), choice);
    }
  });
  for (const auto& [code, meaning] : exit_meanings)
    BOOST_TEST(says(page, ".TP\n\\fB" + std::to_string(static_cast<int>(code)) + "\\fR\n"
                              + roff_text(meaning) + "\n"));
}

BOOST_AUTO_TEST_CASE(lines_begin_with_known_requests_only_and_are_ascii) {
  std::istringstream page(man_page(describe_commands(), "1"));
  for (std::string line; std::getline(page, line);) {
    BOOST_TEST(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; }),
               line);
    BOOST_TEST(!line.starts_with('\''), line);
    if (!line.starts_with('.'))
      continue;
    const auto request = line.substr(0, line.find(' '));
    BOOST_TEST((request == ".\\\"" || request == ".TH" || request == ".SH" || request == ".SS"
                || request == ".TP" || request == ".PP" || request == ".nh" || request == ".ad"),
               line);
  }
}

BOOST_AUTO_TEST_CASE(groff_finds_no_fault_and_shows_it_all) {
  if (std::system("command -v groff > /dev/null") != 0) {
    BOOST_TEST_MESSAGE("groff is not installed: the page was read only, not typeset");
    return;
  }
  const tests::temp_dir folder;
  const auto path = (folder.path() / "troupe.1").string();
  std::ofstream{path} << man_page(describe_commands(), "1.2-3");
  BOOST_TEST(output_of("groff -man -ww -Tascii -P-c -z " + path + " 2>&1").empty());
  const auto shown = output_of("groff -man -Tascii -P-c -P-b -P-u " + path);
  for (const auto* part :
       {"TROUPE(1)", "troupe - Job orchestration", "troupe jobs list [options]",
        "troupe jobs cancel id... [options]", "--state TEXT", "~/.local/share/troupe"})
    BOOST_TEST(says(shown, part), part);
}
