// The file that --out names.
#include "cli/exit_code.hpp"
#include "cli/output_file.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

using namespace troupe::cli;

namespace {
std::string content(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>{in}, {}};
}
} // namespace

BOOST_AUTO_TEST_CASE(a_missing_folder_is_told_and_not_made) {
  const troupe::tests::temp_dir dir;
  try {
    prepare_output(dir.path() / "a/b/items.csv");
    BOOST_ERROR("it was taken");
  } catch (const command_error& e) {
    BOOST_TEST(static_cast<int>(e.code()) == 2);
    BOOST_TEST(std::string{e.what()}.find("there is no folder " + (dir.path() / "a/b").string())
               != std::string::npos);
  }
  BOOST_TEST(!std::filesystem::exists(dir.path() / "a"));
  BOOST_CHECK_NO_THROW(prepare_output("items-of-a-test.csv"));
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
  std::filesystem::create_directory(out.parent_path());
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

BOOST_AUTO_TEST_CASE(a_link_stays_and_the_file_it_leads_to_is_replaced) {
  const troupe::tests::temp_dir dir;
  std::ofstream(dir.path() / "real.csv") << "old";
  std::filesystem::create_symlink("real.csv", dir.path() / "latest.csv");
  growing_output file(dir.path() / "latest.csv");
  file.write("new");
  file.finish();
  BOOST_TEST(std::filesystem::is_symlink(dir.path() / "latest.csv"));
  BOOST_TEST(content(dir.path() / "real.csv") == "new");
}

BOOST_AUTO_TEST_CASE(a_pipe_is_written_to_and_stays) {
  const troupe::tests::temp_dir dir;
  const auto pipe = dir.path() / "pipe";
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  // Open for both, so that neither end waits for the other.
  const int end = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
  BOOST_REQUIRE(end >= 0);
  std::ofstream(dir.path() / "made") << "from a file";
  prepare_output(pipe);
  {
    growing_output unfinished(pipe);
    unfinished.write("bit by bit, ");
  }
  replace_output(dir.path() / "made", pipe);
  char told[64];
  const auto size = ::read(end, told, sizeof told);
  ::close(end);
  BOOST_TEST(std::string(told, static_cast<std::size_t>(size)) == "bit by bit, from a file");
  BOOST_TEST(std::filesystem::is_fifo(pipe));
  BOOST_TEST(!std::filesystem::exists(dir.path() / "pipe.part"));
}

BOOST_AUTO_TEST_CASE(a_device_that_is_full_says_so_and_stays) {
  // Never finished, so a mistake here replaces no device.
  BOOST_CHECK_THROW(growing_output("/dev/full").write("x"), command_error);
  BOOST_TEST(std::filesystem::is_character_file("/dev/full"));
}
