// The configuration file: what is understood, and that nothing else is guessed at.
#include "cli/config_file.hpp"
#include "tests/support/says.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

using namespace troupe;
using namespace troupe::cli;
using namespace troupe::tests;

namespace {

std::string refusal_of(const std::string& text) {
  try {
    read_config(text);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return {};
}

} // namespace

BOOST_AUTO_TEST_CASE(tables_texts_numbers_and_lists_are_read) {
  const auto found = read_config("# of a node\n"
                                 "slots = 8   # per queue\n"
                                 "grace = 1.5\n"
                                 "allow_host = [\"a.example\", 'b.example',\n  # more\n ]\n"
                                 "\r\n"
                                 "[database]\n"
                                 "url = \"postgresql://u@h/x?options=-c%20a#b=\\\"\\\\\"\n"
                                 "pooler=true\n"
                                 "max_waiting = 1_000\n"
                                 "idle_limit = '2min'");
  BOOST_REQUIRE(found.size() == 7U);
  BOOST_TEST(found[0].key == "slots");
  BOOST_TEST(found[0].values.at(0) == "8");
  BOOST_TEST(found[0].line == 2);
  BOOST_TEST(found[1].values.at(0) == "1.5");
  BOOST_TEST((found[2].values == std::vector<std::string>{"a.example", "b.example"}));
  BOOST_TEST(found[3].key == "database.url");
  BOOST_TEST(found[3].values.at(0) == "postgresql://u@h/x?options=-c%20a#b=\"\\");
  BOOST_TEST(found[3].line == 9);
  BOOST_TEST(found[4].values.at(0) == "true");
  BOOST_TEST(found[5].values.at(0) == "1000");
  BOOST_TEST(found[6].values.at(0) == "2min");
  BOOST_TEST(read_config("").empty());
  BOOST_TEST(read_config("a.b = 1").at(0).key == "a.b");
}

BOOST_AUTO_TEST_CASE(what_is_not_understood_is_an_error_with_its_line) {
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"slots\n", "slots has no value"},
           {"\nslots =\n", "line 2: "},
           {"slots = 3s\n", "texts stand in quotes"},
           {"slots = 3 4\n", "behind the value"},
           {"slots = many\n", "texts stand in quotes"},
           {"url = \"x\n\"", "line 1: a text has no closing quote"},
           {"url = \"\\q\"", "single quotes"},
           {"a = 1\na = 2\n", "line 2: a is there twice"},
           {"[database\na = 1\n", "no closing bracket"},
           {"[database] a = 1\n", "behind the value"},
           {"a = [1, 2\n", "a list has no closing bracket"},
           {"a = [1 2]\n", "a comma"},
           {"= 3\n", "a key was expected"},
           {"\"a\" = 3\n", "a key was expected"},
           {"\x1b[2J = 3\n", "\\x1b"}})
    BOOST_TEST(says(refusal_of(text), part), text << ": " << refusal_of(text));
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_read_is_named) {
  const tests::temp_dir folder;
  const auto refused = [](const std::string& path) {
    try {
      read_config_file(path);
    } catch (const std::invalid_argument& e) {
      return std::string{e.what()};
    }
    return std::string{};
  };
  const auto path = (folder.path() / "troupe.toml").string();
  BOOST_TEST(says(refused(path), path + " cannot be read"));
  BOOST_TEST(says(refused(folder.path().string()), "cannot be read"));
  std::ofstream{path} << "slots = x\n";
  BOOST_TEST(says(refused(path), path + ", line 1: "));
  std::ofstream{path} << std::string(2 << 20, '\n');
  BOOST_TEST(says(refused(path), "1 MiB"));
  std::ofstream{path} << "slots = 4\n";
  BOOST_TEST(read_config_file(path).size() == 1U);
}
