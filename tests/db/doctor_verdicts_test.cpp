// Where a finding of `troupe doctor` begins to be degraded or failing, and that all of those say
// what to do.
#include "db/doctor_verdicts.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace troupe::db::doctoring;
using namespace std::chrono_literals;
using status = health_status;

namespace {

bool is(const doctor_finding& found, status wanted) {
  return found.status == wanted && !found.name.empty() && !found.found.empty()
         && found.advice.empty() == (wanted == status::ok);
}

bool says(const std::string& text, const char* word) {
  return text.find(word) != std::string::npos;
}

settings sound() {
  return {{"fsync", "on"},
          {"full_page_writes", "on"},
          {"synchronous_commit", "on"},
          {"data_checksums", "on"},
          {"server_encoding", "UTF8"},
          {"default_transaction_read_only", "off"},
          {"default_transaction_isolation", "read committed"},
          {"statement_timeout", "0"},
          {"idle_in_transaction_session_timeout", "0"}};
}

settings with(const char* name, const char* value) {
  auto all = sound();
  all[name] = value;
  return all;
}

} // namespace

BOOST_AUTO_TEST_CASE(settings_that_lose_data_are_degraded_and_named) {
  auto good = sound();
  for (const auto& each : judge_durability(good))
    BOOST_TEST(is(each, status::ok));
  for (const auto* name : {"fsync", "full_page_writes", "synchronous_commit"}) {
    auto bad = with(name, "off");
    const auto found = judge_durability(bad);
    BOOST_TEST(is(found.at(0), status::degraded));
    BOOST_TEST(says(found.at(0).found, name));
  }
  auto both = with("fsync", "off");
  both["synchronous_commit"] = "off";
  BOOST_TEST(judge_durability(both).at(0).found == "fsync, synchronous_commit are off");
  auto unchecked = with("data_checksums", "off");
  BOOST_TEST(is(judge_durability(unchecked).at(1), status::degraded));
}

BOOST_AUTO_TEST_CASE(a_server_that_takes_no_writes_is_failing) {
  auto good = sound();
  auto read_only = with("default_transaction_read_only", "on");
  BOOST_TEST(is(judge_replication(false, good), status::ok));
  BOOST_TEST(is(judge_replication(true, good), status::failing));
  BOOST_TEST(is(judge_replication(false, read_only), status::failing));
}

BOOST_AUTO_TEST_CASE(a_pooler_is_right_when_the_nodes_know_of_it) {
  BOOST_TEST(is(judge_pooler(false, false), status::ok));
  BOOST_TEST(is(judge_pooler(true, false), status::degraded));
  BOOST_TEST(says(judge_pooler(true, false).advice, "--pooler"));
  BOOST_TEST(is(judge_pooler(true, true), status::ok));
  BOOST_TEST(is(judge_pooler(false, true), status::ok));
}

BOOST_AUTO_TEST_CASE(defaults_that_get_in_the_way_are_told) {
  auto good = sound(), quick = with("statement_timeout", "500"),
       slow = with("statement_timeout", "60000"), latin = with("server_encoding", "LATIN1"),
       strict = with("default_transaction_isolation", "serializable");
  BOOST_TEST(is(judge_timeouts(good, false), status::ok));
  BOOST_TEST(is(judge_timeouts(slow, false), status::ok));
  BOOST_TEST(is(judge_timeouts(quick, false), status::degraded));
  BOOST_TEST(is(judge_timeouts(quick, true), status::ok)); // of our own URL
  BOOST_TEST(is(judge_timeouts(strict, false), status::degraded));
  BOOST_TEST(is(judge_encoding(good), status::ok));
  BOOST_TEST(is(judge_encoding(latin), status::degraded));
}

BOOST_AUTO_TEST_CASE(only_old_transactions_that_pin_rows_count_and_who_and_how_long_is_told) {
  BOOST_TEST(is(judge_transactions({}, true), status::ok));
  BOOST_TEST(says(judge_transactions({}, false).found, "pg_read_all_stats"));
  const open_transaction old{"session 17 of ada (psql)", "idle in transaction", 90min, true};
  BOOST_TEST(is(judge_transactions({old}, true), status::degraded));
  BOOST_TEST(judge_transactions({old}, true).found
             == "session 17 of ada (psql), idle in transaction for 90 min");
  auto young = old;
  young.age = 299s;
  auto harmless = old;
  harmless.pins = false;
  BOOST_TEST(is(judge_transactions({young, harmless}, true), status::ok));
  BOOST_TEST(says(judge_transactions({old, old, old, old, old}, true).found, "and 2 more"));
  BOOST_TEST(is(judge_idle({harmless}), status::degraded));
  BOOST_TEST(is(judge_idle({}), status::ok));
  auto active = old;
  active.state = "active";
  BOOST_TEST(is(judge_idle({active}), status::ok));
}

BOOST_AUTO_TEST_CASE(the_tightest_limit_of_connections_counts) {
  const std::vector<connection_limit> none{{"max_connections", 97, 10}, {"role", -1, 10}};
  BOOST_TEST(is(judge_connections(none, 8), status::ok));
  BOOST_TEST(is(judge_connections({{"max_connections", 97, 90}}, 8), status::degraded));
  BOOST_TEST(is(judge_connections({{"max_connections", 97, 97}}, 8), status::failing));
  const auto tight = judge_connections({{"max_connections", 97, 10}, {"the role's", 12, 10}}, 8);
  BOOST_TEST(is(tight, status::degraded));
  BOOST_TEST(says(tight.found, "the role's"));
}

BOOST_AUTO_TEST_CASE(vacuum_and_slots_are_judged) {
  BOOST_TEST(is(judge_vacuum(true, "", 1000), status::ok));
  BOOST_TEST(is(judge_vacuum(false, "", 1000), status::degraded));
  BOOST_TEST(is(judge_vacuum(true, "lane", 1000), status::degraded));
  BOOST_TEST(is(judge_vacuum(true, "", 1'000'000'001), status::degraded));
  BOOST_TEST(is(judge_vacuum(true, "", 1'900'000'001), status::failing));
  BOOST_TEST(is(judge_slots("", 0), status::ok));
  BOOST_TEST(is(judge_slots("s", 1'000'000), status::degraded));
}

BOOST_AUTO_TEST_CASE(the_schema_is_judged) {
  BOOST_TEST(is(judge_missing_schema(true), status::degraded));
  BOOST_TEST(is(judge_missing_schema(false), status::failing));
  BOOST_TEST(is(judge_version(3, 3), status::ok));
  BOOST_TEST(is(judge_version(2, 3), status::degraded));
  BOOST_TEST(is(judge_version(4, 3), status::failing));
  BOOST_TEST(is(judge_rights(""), status::ok));
  BOOST_TEST(is(judge_rights("usage on schema troupe"), status::failing));
  BOOST_TEST(is(judge_indexes(""), status::ok));
  BOOST_TEST(is(judge_indexes("a"), status::degraded));
  BOOST_TEST(is(judge_overdue(10s), status::ok));
  BOOST_TEST(is(judge_overdue(11s), status::degraded));
  BOOST_TEST(is(judge_partitions("jobs", 1, false), status::ok));
  BOOST_TEST(is(judge_partitions("jobs", 0, false), status::degraded));
  BOOST_TEST(is(judge_partitions("jobs", 1, true), status::degraded));
}

BOOST_AUTO_TEST_CASE(clock_and_round_trip_are_judged) {
  BOOST_TEST(is(judge_round_trip(500ms), status::ok));
  BOOST_TEST(is(judge_round_trip(501ms), status::degraded));
  BOOST_TEST(is(judge_clock(2s, 0s), status::ok));
  BOOST_TEST(is(judge_clock(-2s, 0s), status::ok));
  BOOST_TEST(says(judge_clock(3s, 0s).found, "ahead of"));
  BOOST_TEST(says(judge_clock(-3s, 0s).found, "behind"));
}
