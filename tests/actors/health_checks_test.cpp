// Where ok ends and degraded and failing begin, check by check, on both sides of each limit.
#include "actors/health_checks.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
using status = health_status;

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20, gib = std::uint64_t{1} << 30;

const health_limits usual;

database_probe sound() {
  database_probe said;
  said.schema_version = 1;
  return said;
}

bool is(const health_check& check, status wanted) {
  // Whoever is not well says why, and only he.
  return check.status == wanted && check.detail.empty() == (wanted == status::ok);
}

struct pool_seen {
  engine_counters counters;
  database_metrics metrics;
  pool_watch watch;
  pool_seen() { counters.connections_open = 4; }
  health_check check() { return watch.check(usual, counters, metrics); }
};

} // namespace

BOOST_AUTO_TEST_CASE(a_slow_round_trip_is_degraded) {
  BOOST_TEST(is(check_round_trip(usual, 500ms), status::ok));
  BOOST_TEST(is(check_round_trip(usual, 501ms), status::degraded));
  BOOST_TEST((check_round_trip(usual, 501ms).latency == 501ms));
}

BOOST_AUTO_TEST_CASE(a_server_that_takes_no_writes_is_failing) {
  BOOST_TEST(is(check_replication(sound()), status::ok));
  auto said = sound();
  said.in_recovery = said.read_only = true;
  BOOST_TEST(is(check_replication(said), status::failing));
  BOOST_TEST(check_replication(said).detail.find("standby") != std::string::npos);
  said.in_recovery = false;
  BOOST_TEST(is(check_replication(said), status::failing));
}

BOOST_AUTO_TEST_CASE(only_the_schema_this_program_speaks_is_ok) {
  health_limits third;
  third.schema_version = 3;
  auto said = sound();
  for (const auto& [version, word] :
       {std::pair{2, "troupe migrate"}, {0, "troupe migrate"}, {4, "newer"}}) {
    said.schema_version = version;
    BOOST_TEST(is(check_migrations(third, said), status::failing));
    BOOST_TEST(check_migrations(third, said).detail.find(word) != std::string::npos);
  }
  said.schema_version = 3;
  BOOST_TEST(is(check_migrations(third, said), status::ok));
}

BOOST_AUTO_TEST_CASE(clocks_may_differ_by_two_seconds_and_by_what_the_round_trip_leaves_open) {
  const timestamp here{std::chrono::hours{1}};
  auto said = sound();
  said.now = here - 2s;
  BOOST_TEST(is(check_clock(usual, said, here, 0ms), status::ok));
  said.now = here - 2001ms;
  BOOST_TEST(is(check_clock(usual, said, here, 0ms), status::degraded));
  BOOST_TEST(check_clock(usual, said, here, 0ms).detail.find("ahead of") != std::string::npos);
  said.now = here + 2001ms;
  BOOST_TEST(check_clock(usual, said, here, 0ms).detail.find("behind") != std::string::npos);
  // The answer lay about for 6 s: the database may have looked at any moment of them.
  said.now = here - 6s;
  BOOST_TEST(is(check_clock(usual, said, here, 6s), status::ok));
}

BOOST_AUTO_TEST_CASE(a_deferred_job_that_nobody_moves_is_degraded) {
  auto said = sound();
  said.overdue = 10s;
  BOOST_TEST(is(check_scheduler(usual, said), status::ok));
  said.overdue = 10'001ms;
  BOOST_TEST(is(check_scheduler(usual, said), status::degraded));
}

BOOST_AUTO_TEST_CASE(the_disk_is_judged_by_share_and_by_size) {
  const auto judged = [](std::uint64_t free, std::uint64_t total) {
    return check_disk(usual, disk_space{free, total}).status;
  };
  BOOST_TEST((judged(11 * gib, 100 * gib) == status::ok));
  BOOST_TEST((judged(9 * gib, 100 * gib) == status::degraded));
  BOOST_TEST((judged(1023 * mib, 2 * gib) == status::degraded));
  BOOST_TEST((judged(99 * mib, 200 * mib) == status::failing));
  BOOST_TEST((judged(100 * mib, 200 * mib) == status::degraded));
  BOOST_TEST((judged(9 * gib, 1000 * gib) == status::failing));
  BOOST_TEST(is(check_disk(usual, std::nullopt), status::degraded));
  BOOST_TEST(check_disk(usual, disk_space{9 * gib, 100 * gib}).detail.find("9.0 GiB of 100.0 GiB")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_node_that_does_not_listen_is_degraded) {
  engine_counters counters;
  BOOST_TEST(is(check_notifier(counters), status::degraded));
  counters.listening = 1;
  BOOST_TEST(is(check_notifier(counters), status::ok));
}

BOOST_FIXTURE_TEST_CASE(a_pool_without_connections_is_failing_and_one_with_a_queue_degraded,
                        pool_seen) {
  BOOST_TEST(is(check(), status::ok));
  counters.pool_waiting = 2;
  BOOST_TEST(is(check(), status::degraded));
  counters.connections_open = 0;
  BOOST_TEST(is(check(), status::failing));
}

BOOST_FIXTURE_TEST_CASE(refusals_count_once, pool_seen) {
  counters.pool_refused = 7;
  BOOST_TEST(is(check(), status::degraded));
  BOOST_TEST(is(check(), status::ok));
  counters.pool_refused = 8;
  BOOST_TEST(check().detail.starts_with("1 callers"));
}

BOOST_FIXTURE_TEST_CASE(the_slowest_hundredth_of_those_who_waited_since_is_what_counts, pool_seen) {
  for (int i = 0; i < 99; ++i)
    metrics.acquire.record(50us);
  metrics.acquire.record(2s);
  BOOST_TEST(is(check(), status::ok));
  BOOST_TEST((check().latency == 0us)); // nobody since
  for (int i = 0; i < 98; ++i)
    metrics.acquire.record(50us);
  metrics.acquire.record(2s);
  metrics.acquire.record(2s);
  const auto slow = check();
  BOOST_TEST(is(slow, status::degraded));
  BOOST_TEST((slow.latency == 2500ms)); // its bucket's bound
  metrics.acquire.record(60s);          // above every bound
  BOOST_TEST((check().latency == 10s));
}

BOOST_AUTO_TEST_CASE(a_heart_that_stops_is_degraded_and_one_that_never_beat_failing) {
  engine_counters counters;
  heartbeat_watch watch;
  const auto begin = steady_clock::now();
  BOOST_TEST(is(watch.check(usual, counters, begin), status::failing));
  counters.heartbeats = 1;
  BOOST_TEST(is(watch.check(usual, counters, begin), status::ok));
  BOOST_TEST(is(watch.check(usual, counters, begin + 8s), status::ok));
  BOOST_TEST(is(watch.check(usual, counters, begin + 9s), status::degraded));
  counters.heartbeats = 2;
  BOOST_TEST(is(watch.check(usual, counters, begin + 10s), status::ok));
}

BOOST_AUTO_TEST_CASE(claimed_jobs_that_wait_while_nothing_ends_are_told) {
  engine_counters counters;
  executor_watch watch;
  auto at = steady_clock::now();
  const auto later = [&](std::chrono::seconds by) {
    at += by;
    return watch.check(usual, counters, at);
  };
  counters.running = 16;
  BOOST_TEST(is(later(0s), status::ok));
  BOOST_TEST(is(later(1h), status::ok)); // long jobs, and nobody waits for a slot
  counters.backlog = 5;
  BOOST_TEST(is(later(60s), status::ok));
  BOOST_TEST(is(later(1s), status::degraded));
  counters.attempts_failed = 1;
  BOOST_TEST(is(later(1s), status::ok));
  counters.running = 0;
  BOOST_TEST(is(later(61s), status::failing));
  counters.backlog = 0;
  BOOST_TEST(is(later(1s), status::ok));
  counters.stuck = 2;
  BOOST_TEST(is(later(1s), status::degraded));
}
