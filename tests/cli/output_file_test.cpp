// The file that --out names.
#include "cli/exit_code.hpp"
#include "cli/output_file.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace troupe::cli;

namespace {
std::string content(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>{in}, {}};
}
} // namespace

BOOST_AUTO_TEST_CASE(missing_folders_are_made) {
  const troupe::tests::temp_dir dir;
  prepare_output(dir.path() / "a/b/items.csv");
  BOOST_TEST(std::filesystem::is_directory(dir.path() / "a/b"));
}

BOOST_AUTO_TEST_CASE(a_folder_or_a_file_on_the_way_is_refused_beforehand) {
  const troupe::tests::temp_dir dir;
  BOOST_CHECK_THROW(prepare_output(dir.path()), command_error);
  std::ofstream(dir.path() / "file") << "x";
  BOOST_CHECK_THROW(prepare_output(dir.path() / "file/items.csv"), command_error);
}

BOOST_AUTO_TEST_CASE(the_old_file_is_replaced_whole_and_nothing_stays_behind) {
  const troupe::tests::temp_dir dir;
  const auto from = dir.path() / "made";
  const auto out = dir.path() / "out.csv";
  std::ofstream(from) << std::string(3'000'000, 'x') << "end";
  std::ofstream(out) << "old";
  replace_output(from, out);
  BOOST_TEST(content(out) == content(from));
  BOOST_TEST(!std::filesystem::exists(dir.path() / "out.csv.part"));
}

BOOST_AUTO_TEST_CASE(a_missing_source_leaves_the_old_file) {
  const troupe::tests::temp_dir dir;
  const auto out = dir.path() / "out.csv";
  std::ofstream(out) << "old";
  BOOST_CHECK_THROW(replace_output(dir.path() / "nothing", out), command_error);
  BOOST_TEST(content(out) == "old");
}

BOOST_AUTO_TEST_CASE(what_grows_is_there_when_it_is_whole_and_leaves_nothing_before) {
  const troupe::tests::temp_dir dir;
  const auto out = dir.path() / "a/jobs.csv";
  {
    growing_output file(out);
    file.write("half");
    BOOST_TEST(!std::filesystem::exists(out));
  }
  BOOST_TEST(std::filesystem::is_empty(dir.path() / "a"));
  growing_output file(out);
  file.write("one\n");
  file.write(std::string(3'000'000, 'x'));
  file.finish();
  BOOST_TEST((content(out) == "one\n" + std::string(3'000'000, 'x')));
  BOOST_TEST(!std::filesystem::exists(dir.path() / "a/jobs.csv.part"));
}
