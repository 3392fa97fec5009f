// The migrated schema against the golden db/schema.sql, and every embedded statement against the
// schema.
#include "db/failure.hpp"
#include "db/statements.hpp"
#include "tests/support/database.hpp"

#include <boost/test/unit_test.hpp>
#include <libpq-fe.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <sys/wait.h>

using namespace troupe;
using namespace troupe::tests;

namespace {

std::string output_of(const std::string& command) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(command.c_str(), "r"), ::pclose};
  BOOST_REQUIRE(pipe);
  std::string text;
  char buffer[4096];
  while (auto got = std::fread(buffer, 1, sizeof buffer, pipe.get()))
    text.append(buffer, got);
  auto status = ::pclose(pipe.release());
  BOOST_REQUIRE_MESSAGE(WIFEXITED(status) && WEXITSTATUS(status) == 0, command << " failed");
  return text;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);)
    all.push_back(line);
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(migrations_make_the_schema_that_was_reviewed) {
  test_database database;
  auto is = lines(output_of(std::string{TROUPE_DUMP_SCHEMA} + " '" + database.url() + "'"));
  std::ostringstream content;
  content << std::ifstream{TROUPE_SCHEMA_FILE}.rdbuf();
  auto wanted = lines(content.str());
  for (std::size_t i = 0; i < std::max(is.size(), wanted.size()); ++i) {
    std::string here = i < is.size() ? is[i] : "(end)";
    std::string there = i < wanted.size() ? wanted[i] : "(end)";
    BOOST_REQUIRE_MESSAGE(here == there,
                          "db/schema.sql differs from what the migrations make, first in line "
                              << i + 1 << ":\n  file:     " << there << "\n  database: " << here
                              << "\nIf that is meant, run scripts/dump-schema --renew, look at the "
                                 "difference and commit it.");
  }
}

BOOST_AUTO_TEST_CASE(a_function_is_edited_only_where_the_text_is_there_once) {
  test_database database;
  const auto edit = [&](const std::string& function, const std::string& old) {
    database.exec("select troupe.edit_function('" + function + "', '" + old + "', '/* new */')");
  };
  database.exec("create function troupe.some() returns int language plpgsql as "
                "$$ begin /* twice */ /* twice */ return 1; /* once */ end $$");
  edit("some", "/* once */");
  BOOST_TEST(
      database.value("select prosrc like '%/* new */ end%' from pg_proc where proname = 'some'")
      == "t");
  BOOST_CHECK_THROW(edit("some", "/* never */"), db::db_error);
  BOOST_CHECK_THROW(edit("some", "/* twice */"), db::db_error);
  BOOST_CHECK_THROW(edit("finish", "begin"), db::db_error); // of which there are two
}

BOOST_AUTO_TEST_CASE(every_statement_fits_the_schema) {
  BOOST_REQUIRE(!db::sql::all().empty());
  test_database database;
  // Prepared as a connection does; SQL's own PREPARE takes no commands.
  const std::unique_ptr<PGconn, void (*)(PGconn*)> session{PQconnectdb(database.url().c_str()),
                                                           PQfinish};
  for (const auto* each : db::sql::all()) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> answer{
        PQprepare(session.get(), each->name, each->text, 0, nullptr), PQclear};
    BOOST_TEST((PQresultStatus(answer.get()) == PGRES_COMMAND_OK),
               "db/sql/" << each->name << ".sql: " << PQerrorMessage(session.get()));
  }
}

BOOST_AUTO_TEST_CASE(statements_have_the_name_of_their_file_and_no_other) {
  std::set<std::string> names;
  for (const auto* each : db::sql::all()) {
    BOOST_TEST(names.insert(each->name).second);
    BOOST_TEST(std::string{each->text}.find_first_not_of(" \n") != std::string::npos);
  }
}
