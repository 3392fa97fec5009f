// Where PostgreSQL is looked for and which one is taken, with programs that only tell a version.
#include "launcher/postgres_binaries.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>

using namespace troupe;
namespace fs = std::filesystem;

namespace {

struct places : tests::temp_dir {
  places() { where.roots = {path() / "versions"}; }

  fs::path install(const fs::path& directory, const std::string& version) const {
    const auto full = path() / directory;
    fs::create_directories(full);
    for (const char* program : {"postgres", "initdb", "createdb"}) {
      std::ofstream(full / program)
          << "#!/bin/sh\necho 'postgres (PostgreSQL) " << version << "'\n";
      fs::permissions(full / program, fs::perms{0755});
    }
    return full;
  }
  std::string error(std::optional<int> major = {}) const {
    try {
      find_postgres(where, major);
    } catch (const postgres_error& failed) {
      return failed.what();
    }
    return {};
  }
  bool error_has(const std::string& part, std::optional<int> major = {}) const {
    return error(major).find(part) != std::string::npos;
  }
  postgres_search where;
};

} // namespace

BOOST_FIXTURE_TEST_CASE(the_newest_version_wins_by_number_not_by_name, places) {
  install("versions/9.6/bin", "9.6.24");
  install("versions/14/bin", "14.9");
  const auto newest = install("versions/100/bin", "100.1 (Debian 100.1-1)");
  BOOST_TEST(find_postgres(where).directory == newest);
  BOOST_TEST(find_postgres(where).major == 100);
}

BOOST_FIXTURE_TEST_CASE(a_cluster_gets_the_version_that_made_it, places) {
  const auto old = install("versions/14/bin", "14.9");
  install("versions/15/bin", "15.4");
  BOOST_TEST(find_postgres(where, 14).directory == old);
  BOOST_TEST(error_has("made by PostgreSQL 16", 16));
  BOOST_TEST(error_has("postgresql-16", 16));
}

BOOST_FIXTURE_TEST_CASE(the_path_is_searched_too, places) {
  const auto on_path = install("bin", "16beta1");
  where.path = "relative::" + (path() / "none").string() + ":" + on_path.string();
  BOOST_TEST(find_postgres(where).directory == on_path);
  BOOST_TEST(find_postgres(where).major == 16);
}

BOOST_FIXTURE_TEST_CASE(nothing_found_says_what_to_install, places) {
  BOOST_TEST(error_has("apt-get install postgresql"));
  BOOST_TEST(error_has("DATABASE_URL"));
  install("versions/13/bin", "13.2");
  BOOST_TEST(error_has("found: 13 in"));
}

BOOST_FIXTURE_TEST_CASE(an_incomplete_installation_does_not_count, places) {
  fs::remove(install("versions/15/bin", "15.4") / "initdb");
  BOOST_TEST(error_has("found: none"));
}

BOOST_FIXTURE_TEST_CASE(a_named_directory_is_the_only_one, places) {
  install("versions/15/bin", "15.4");
  where.only = install("own", "14.1");
  BOOST_TEST(find_postgres(where).major == 14);
  BOOST_TEST(error_has("holds 14", 15));
  where.only = path() / "empty";
  BOOST_TEST(error_has("TROUPE_PG_BIN"));
  where.only = install("ancient", "9.4.1");
  BOOST_TEST(error_has("older than 14"));
}
