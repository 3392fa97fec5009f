// Migrations: once, twice, by many at a time, from a newer program, and one that fails.
#include "db/migrate.hpp"
#include "tests/support/database.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

constexpr std::array three{
    migration{1, "first", "create table troupe.a (x int);"},
    migration{2, "second", "create table troupe.b (x int); insert into troupe.b values (1);"},
    migration{5, "third", "insert into troupe.b values (2);"},
};

struct empty_database {
  test_database database{test_database::content::empty};
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(migrating, empty_database)

BOOST_AUTO_TEST_CASE(this_programs_migrations_apply_and_a_second_time_do_nothing) {
  BOOST_REQUIRE(!migrations().empty());
  auto newest = migrations().back().number;
  BOOST_TEST(schema_version(database.url()) == 0);
  auto first = migrate(database.url());
  BOOST_TEST(first.from == 0);
  BOOST_TEST(first.to == newest);
  BOOST_TEST(first.applied.size() == migrations().size());
  auto second = migrate(database.url());
  BOOST_TEST(second.from == newest);
  BOOST_TEST(second.to == newest);
  BOOST_TEST(second.applied.empty());
  BOOST_TEST(schema_version(database.url()) == newest);
}

BOOST_AUTO_TEST_CASE(migrations_are_numbered_upwards) {
  int last = 0;
  for (const auto& step : migrations()) {
    BOOST_TEST(step.number > last);
    last = step.number;
  }
}

BOOST_AUTO_TEST_CASE(only_what_is_missing_is_applied) {
  auto first = migrate(database.url(), std::span{three}.first(1));
  BOOST_TEST(first.to == 1);
  auto second = migrate(database.url(), three);
  BOOST_TEST(second.from == 1);
  BOOST_TEST(second.to == 5);
  BOOST_TEST(second.applied == (std::vector<std::string>{"second", "third"}),
             boost::test_tools::per_element());
  BOOST_TEST(database.value("select string_agg(version || name, ',' order by version) "
                            "from troupe.schema_version")
             == "1first,2second,5third");
}

BOOST_AUTO_TEST_CASE(a_failing_migration_leaves_those_before_it_and_nothing_of_itself) {
  constexpr std::array broken{three[0], migration{2, "second",
                                                  "create table troupe.b (x int);\n"
                                                  "select\n  nonsense;"}};
  BOOST_CHECK_EXCEPTION(migrate(database.url(), broken), db_error, [](const db_error& error) {
    BOOST_TEST(error.what()
               == "migration 2 (second) failed: column \"nonsense\" does not exist (line 3)");
    return true;
  });
  BOOST_TEST(schema_version(database.url()) == 1);
  BOOST_TEST(database.value("select to_regclass('troupe.b')") == "NULL");
  BOOST_TEST(migrate(database.url(), three).to == 5);
}

BOOST_AUTO_TEST_CASE(a_newer_database_is_refused_and_left_alone) {
  migrate(database.url(), three);
  BOOST_CHECK_EXCEPTION(
      migrate(database.url(), std::span{three}.first(2)), db_error, [](const db_error& error) {
        BOOST_TEST((error.what_failed().code == errc::conflict));
        BOOST_TEST(error.what()
                   == "the database has schema version 5, this program knows versions up to 2; "
                      "start a program at least as new as the one that migrated the database");
        return true;
      });
  BOOST_TEST(schema_version(database.url()) == 5);
}

BOOST_AUTO_TEST_CASE(ten_threads_on_an_empty_database_all_succeed) {
  std::mutex guard;
  std::vector<std::string> problems;
  std::size_t applied = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 10; ++i)
      threads.emplace_back([&] {
        try {
          auto report = migrate(database.url());
          const std::lock_guard lock(guard);
          applied += report.applied.size();
        } catch (const std::exception& problem) {
          const std::lock_guard lock(guard);
          problems.emplace_back(problem.what());
        }
      });
  }
  for (const auto& problem : problems)
    BOOST_ERROR(problem);
  BOOST_TEST(applied == migrations().size());
}

BOOST_AUTO_TEST_CASE(ten_processes_on_an_empty_database_all_succeed) {
  // Those that are ready wait here, so that all begin at the same moment.
  std::array<int, 2> gate{};
  BOOST_REQUIRE(::pipe(gate.data()) == 0);
  std::fflush(nullptr);
  std::vector<pid_t> children;
  for (int i = 0; i < 10; ++i) {
    auto child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
      ::close(gate[1]);
      char byte = 0;
      [[maybe_unused]] auto got = ::read(gate[0], &byte, 1);
      try {
        migrate(database.url());
        ::_exit(0);
      } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
        ::_exit(1);
      }
    }
    children.push_back(child);
  }
  ::close(gate[0]);
  ::close(gate[1]);
  for (auto child : children) {
    int status = -1;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
  }
  BOOST_TEST(schema_version(database.url()) == migrations().back().number);
  BOOST_TEST(database.value("select count(*) from troupe.schema_version")
             == std::to_string(migrations().size()));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(databases_for_tests_are_migrated_copies_of_their_own) {
  test_database one, two;
  BOOST_TEST(schema_version(one.url()) == migrations().back().number);
  BOOST_TEST(one.name() != two.name());
}
