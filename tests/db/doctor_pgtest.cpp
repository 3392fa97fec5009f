// `troupe doctor` looks at real databases that are well, and at ones with which something is wrong.
#include "db/blocking.hpp"
#include "db/doctor.hpp"
#include "db/statements.hpp"
#include "tests/support/await.hpp"
#include "tests/support/chaos_proxy.hpp"
#include "tests/support/database.hpp"
#include "tests/support/own_server.hpp"
#include "tests/support/pgbouncer.hpp"
#include "tests/support/says.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <thread>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;
using namespace std::chrono_literals;
using status = health_status;

namespace {

connect_options at(const std::string& url) {
  connect_options out;
  out.url = url;
  return out;
}

/// A user without rights; roles belong to the whole server, so its name is this test's own.
struct stranger {
  explicit stranger(const test_database& database) : of(database), name(database.name() + "_u") {
    of.exec("create role " + name + " login");
  }
  stranger(const stranger&) = delete;
  stranger& operator=(const stranger&) = delete;
  ~stranger() {
    of.exec("drop owned by " + name);
    of.exec("drop role " + name);
  }
  std::string url() const {
    auto out = of.url();
    const auto user = out.find("postgres@");
    return out.replace(user, 8, name);
  }
  const test_database& of;
  std::string name;
};

struct examined {
  doctor_report report;
  explicit examined(const std::string& url, doctor_wishes wishes = {})
      : report(examine(at(url), wishes)) {
    for (const auto& each : report.findings)
      BOOST_TEST((each.advice.empty() == (each.status == status::ok)), each.name);
  }
  const doctor_finding& operator[](const std::string& name) const {
    for (const auto& each : report.findings)
      if (each.name == name)
        return each;
    BOOST_FAIL("no finding " + name);
    throw std::out_of_range(name);
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_sound_database_has_nothing_that_fails) {
  const test_database database;
  std::optional<examined> last;
  const auto looks_quickly = [&] { // a machine that was elsewhere for half a second is no finding
    last.emplace(database.url());
    return (*last)["round trip"].status == status::ok;
  };
  BOOST_REQUIRE(await_until(looks_quickly));
  const auto& found = *last;
  BOOST_TEST(says(found.report.server, "PostgreSQL 1"));
  BOOST_TEST(says(found.report.server, database.name()));
  for (const auto* name :
       {"server", "round trip", "clock", "pooler", "replication", "encoding", "timeouts",
        "transactions", "idle transactions", "replication slots", "connections", "rights", "schema",
        "scheduler", "indexes", "partitions of jobs", "partitions of entries"})
    BOOST_TEST((found[name].status == status::ok), name << ": " << found[name].found);
  BOOST_TEST((found.report.status() != status::failing));
}

BOOST_AUTO_TEST_CASE(a_server_that_falls_silent_costs_one_answers_time_and_is_told_with_the_check) {
  const auto url = server_url();
  const auto host = url.find("host=") + 5;
  chaos_proxy proxy{url.substr(host, url.find('&') - host) + "/.s.PGSQL.5432"};
  proxy.swallow_from("default_transaction_isolation");
  const auto began = std::chrono::steady_clock::now();
  BOOST_CHECK_EXCEPTION(
      examine(at(proxy.url("postgres") + "?sslmode=disable"), {.check_limit = 3s}), db_error,
      [](const db_error& error) {
        return says(error.what(), "settings: the server took the question and did not answer "
                                  "within 3 s");
      });
  const auto took = std::chrono::steady_clock::now() - began;
  BOOST_TEST((took >= 3s));
  BOOST_TEST((took < 20s));
}

BOOST_AUTO_TEST_CASE(a_frozen_server_is_not_waited_for_beyond_the_patience) {
  own_server server;
  startup_session calm{at(server.url()), patience};
  BOOST_TEST(calm.value("select 1; select 2").value_or("") == "2");
  BOOST_CHECK_THROW(calm.exec("select 1/0"), db_error);
  BOOST_TEST(calm.value("select 3").value_or("") == "3");
  startup_session asks{at(server.url()), 500ms};
  server.freeze();
  BOOST_CHECK_EXCEPTION(asks.exec("select 4"), db_error, [](const db_error& error) {
    return error.what_failed().code == errc::timed_out && error.what_failed().poisons_connection;
  });
  server.thaw();
}

BOOST_AUTO_TEST_CASE(of_what_is_open_the_oldest_comes_first_however_many_digits_it_has) {
  const test_database database;
  // Seen by the question in the place of the server's own.
  database.exec(
      "create schema odd create view pg_stat_activity as select n as pid, 'u' as usename, "
      "null as application_name, 'active' as state, current_database() as datname, "
      "clock_timestamp() - make_interval(secs => 70 + n * n * n) as xact_start, null as "
      "backend_xmin, null as backend_xid from generate_series(1, 30) n");
  startup_session asks{at(database.url()), patience};
  asks.exec("set search_path = odd, pg_catalog");
  const auto rows = asks.exec(sql::doctor_transactions.text);
  BOOST_REQUIRE_EQUAL(rows.size(), 20U);
  BOOST_TEST(rows[0].at(0).value_or("") == "session 30 of u");
  BOOST_TEST(rows[19].at(0).value_or("") == "session 11 of u");
}

BOOST_AUTO_TEST_CASE(a_database_without_the_schema_says_what_to_do) {
  const test_database database{test_database::content::empty};
  const examined found{database.url()};
  BOOST_TEST((found["schema"].status == status::degraded));
  BOOST_TEST(says(found["schema"].advice, "troupe migrate"));
  const stranger someone{database};
  BOOST_TEST((examined{someone.url()}["schema"].status == status::failing));
}

BOOST_AUTO_TEST_CASE(a_schema_older_or_newer_than_the_program_is_told) {
  const test_database database;
  database.exec("insert into troupe.schema_version (version, name) values (900, 'of the future')");
  BOOST_TEST((examined{database.url()}["schema"].status == status::failing));
  database.exec("delete from troupe.schema_version");
  BOOST_TEST((examined{database.url()}["schema"].status == status::degraded));
}

BOOST_AUTO_TEST_CASE(missing_rights_are_named_one_by_one) {
  const test_database database;
  const stranger someone{database};
  const examined nothing{someone.url()};
  BOOST_TEST((nothing["rights"].status == status::failing));
  BOOST_TEST(says(nothing["rights"].found, "usage on schema troupe"));
  database.exec("grant usage on schema troupe to " + someone.name);
  database.exec("grant select, insert, update on all tables in schema troupe to " + someone.name);
  const examined some{someone.url()};
  BOOST_TEST(!says(some["rights"].found, "usage on schema"));
  BOOST_TEST(says(some["rights"].found, "delete on table troupe."));
  BOOST_TEST(says(some["transactions"].found, "pg_read_all_stats"));
  database.exec("alter role " + someone.name + " superuser");
  BOOST_TEST((examined{someone.url()}["rights"].status == status::ok));
}

BOOST_AUTO_TEST_CASE(settings_of_the_database_are_seen_as_a_new_session_gets_them) {
  const test_database database;
  const auto set = [&](const std::string& what) {
    database.exec("alter database " + database.name() + " set " + what);
  };
  set("statement_timeout = 700");
  set("synchronous_commit = off");
  const examined found{database.url()};
  BOOST_TEST((found["timeouts"].status == status::degraded));
  BOOST_TEST(says(found["timeouts"].found, "700 ms"));
  BOOST_TEST(says(found["durability"].found, "synchronous_commit"));
  set("default_transaction_read_only = on");
  BOOST_TEST((examined{database.url()}["replication"].status == status::failing));
}

BOOST_AUTO_TEST_CASE(autovacuum_switched_off_for_one_table_and_broken_indexes_are_found) {
  const test_database database;
  database.exec("alter table troupe.lane set (autovacuum_enabled = off)");
  database.exec("update pg_index set indisvalid = false where indexrelid = "
                "'troupe.deferred_due'::regclass");
  const examined found{database.url()};
  BOOST_TEST(says(found["vacuum"].found, "lane"));
  BOOST_TEST(says(found["indexes"].found, "deferred_due"));
}

BOOST_AUTO_TEST_CASE(partitions_that_nobody_makes_are_found) {
  const test_database database;
  database.exec("select setval('troupe.job_id_seq', 12000000)");
  BOOST_TEST((examined{database.url()}["partitions of jobs"].status == status::degraded));
  database.exec("insert into troupe.attempt (job_id, attempt, outcome) values (12000001, 1, 1)");
  BOOST_TEST(says(examined{database.url()}["partitions of jobs"].found, "past the last"));
  BOOST_TEST((examined{database.url()}["partitions of entries"].status == status::ok));
}

BOOST_AUTO_TEST_CASE(an_overdue_job_is_found) {
  const test_database database;
  database.exec("insert into troupe.deferred (job_id, due_at, lane, attempt, reason) values "
                "(1, now() - interval '1 h', 1, 1, 1)");
  BOOST_TEST((examined{database.url()}["scheduler"].status == status::degraded));
}

BOOST_AUTO_TEST_CASE(a_user_with_few_connections_is_told_before_the_node_starts) {
  const test_database database;
  const stranger someone{database};
  database.exec("alter role " + someone.name + " connection limit 3");
  const examined found{someone.url(), {.connections = 8}};
  BOOST_TEST((found["connections"].status != status::ok));
  BOOST_TEST(says(found["connections"].found, "the user's connection limit"));
}

BOOST_AUTO_TEST_CASE(a_pooler_in_transaction_mode_is_noticed) {
  const test_database database;
  for (const int sessions : {1, 3}) {
    const pgbouncer between{sessions};
    const auto url = between.url(database.name());
    BOOST_TEST((examined{url}["pooler"].status == status::degraded));
    BOOST_TEST((examined{url, {.pooler = true}}["pooler"].status == status::ok));
    BOOST_TEST((examined{url}["schema"].status == status::ok));
  }
}

BOOST_AUTO_TEST_CASE(a_server_that_cannot_be_reached_is_no_finding) {
  BOOST_CHECK_THROW(examine(at("postgresql:///x?host=/tmp/nobody-is-here"), {}), db_error);
  BOOST_CHECK_THROW(examine(at("postgresql://h/x?no_such_key=1"), {}), db_error);
}
