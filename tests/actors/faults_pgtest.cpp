// What happens to acknowledged writes, to callers and to the pool while PostgreSQL and the network
// fail: a ledger of what writers were told is compared with the table afterwards.
#include "actors/pool.hpp"
#include "tests/actors/ledger.hpp"
#include "tests/support/await.hpp"
#include "tests/support/chaos_proxy.hpp"
#include "tests/support/own_server.hpp"
#include "tests/support/poll_loop.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>

#include <sstream>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// Prepared under this name, so that the proxy can see it pass.
const db::statement insert_key{"insert_key", "insert into ledger (key) values ($1)"};

constexpr std::size_t pool_size = 4;
constexpr int writers = 16;
/// Full service after the cause has ended.
constexpr auto recovery_limit = 5s;
/// The longest any caller may wait for his answer, whatever happens: acquire timeout, statement
/// timeout and the grace for a silent server, and what a busy machine adds.
constexpr auto answer_limit = 20s;

struct system_config : caf::actor_system_config {
  system_config() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
  }
};

/// Inserts one key after the other until told to end.
void writer(caf::event_based_actor* self, pool_actor to, std::shared_ptr<ledger> book,
            std::shared_ptr<std::atomic<bool>> ending) {
  if (ending->load())
    return;
  const auto key = book->next_key();
  const auto asked = ledger::clock::now();
  auto query = std::make_shared<const db::query>(db::query{insert_key}.bind(key));
  self->request(to, caf::infinite, query_ptr{std::move(query)})
      .then(
          [=](const db::result&) {
            book->answer_took(ledger::clock::now() - asked);
            book->acknowledged(key);
            writer(self, to, book, ending);
          },
          [=](const caf::error& why) {
            book->answer_took(ledger::clock::now() - asked);
            book->failed(key, why);
            writer(self, to, book, ending);
          });
}

struct trouble {
  own_server server;
  chaos_proxy proxy{server.socket_path()};
  system_config config;
  poll_loop loop;
  engine_counters counters;
  caf::actor_system sys{config};
  pool_impl one;
  std::shared_ptr<ledger> book = std::make_shared<ledger>();
  std::shared_ptr<std::atomic<bool>> ending = std::make_shared<std::atomic<bool>>(false);
  std::vector<caf::actor> crowd;

  trouble() { server.exec("create table ledger (key bigint primary key)"); }
  ~trouble() {
    *ending = true;
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  }

  void begin(const std::string& url) {
    pool_options options;
    options.connection.url = url;
    options.connection.statement_timeout = 2s;
    options.connection.connect_timeout = 3s;
    options.min_size = options.max_size = pool_size;
    options.reconnect_cap = 1s;
    one = sys.spawn(pool, options, static_cast<io_loop*>(&loop), &counters);
    for (int i = 0; i < writers; ++i)
      crowd.push_back(sys.spawn(writer, pool_actor{one}, book, ending));
    BOOST_REQUIRE(await_until([&] { return book->acknowledged() >= std::size_t{writers}; }));
  }

  /// The cause has ended: everybody is served again in time, and nothing acknowledged is lost.
  void expect_recovery() {
    book->mark();
    const bool served = await_until([&] { return book->successes_since_mark() >= 10 * writers; });
    *ending = true;
    {
      caf::scoped_actor self{sys};
      for (const auto& one_of : crowd)
        self->wait_for(one_of);
    }
    BOOST_TEST_MESSAGE(book->summary());
    BOOST_REQUIRE(served);
    BOOST_TEST((book->last_failure_after_mark() < recovery_limit));
    BOOST_TEST((book->slowest() < answer_limit));
    BOOST_TEST(book->verdict(stored()) == "");
    BOOST_TEST(counters.pool_waiting == 0U);
    // Give-backs and retirements are on their way still: what stays open is the pool's own.
    BOOST_TEST(await_until([&] { return sessions() <= pool_size; }));
  }

  std::multiset<std::int64_t> stored() const {
    std::multiset<std::int64_t> keys;
    std::istringstream text{
        server.value("select coalesce(string_agg(key::text, ' '), '') from ledger")};
    std::int64_t key = 0;
    while (text >> key)
      keys.insert(key);
    return keys;
  }
  std::size_t sessions() const {
    return std::stoul(server.value("select count(*) from pg_stat_activity where application_name = "
                                   "'troupe' and backend_type = 'client backend'"));
  }
};

/// Load goes on for so long: writers need time under the fault, and there is no event to wait for.
void let_pass(std::chrono::milliseconds time) {
  await_until([] { return false; }, time);
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(faults, trouble)

BOOST_AUTO_TEST_CASE(every_session_terminated_five_times_a_second_for_thirty_seconds) {
  begin(server.url());
  const auto end = ledger::clock::now() + 30s;
  while (ledger::clock::now() < end) {
    server.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                 "application_name = 'troupe'");
    let_pass(200ms);
  }
  expect_recovery();
  BOOST_TEST(counters.connections_lost >= 100U);
}

BOOST_AUTO_TEST_CASE(ten_immediate_restarts_under_load) {
  begin(server.url());
  for (int i = 0; i < 10; ++i) {
    book->mark();
    server.stop_immediately();
    server.start();
    BOOST_REQUIRE(
        await_until([&] { return book->successes_since_mark() >= std::size_t{writers}; }));
  }
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_server_frozen_for_five_seconds) {
  begin(server.url());
  server.freeze();
  let_pass(5s);
  server.thaw();
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_network_that_swallows_everything_without_closing) {
  begin(proxy.url("postgres"));
  proxy.swallow(true);
  // Noticed without any help from the network.
  BOOST_REQUIRE(await_until([&] { return counters.connections_lost >= pool_size; }, 15s));
  proxy.swallow(false);
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_network_that_resets_every_connection_again_and_again) {
  begin(proxy.url("postgres"));
  for (int i = 0; i < 20; ++i) {
    book->mark();
    proxy.cut();
    BOOST_REQUIRE(
        await_until([&] { return book->successes_since_mark() >= std::size_t{writers}; }));
  }
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_commit_whose_answer_is_lost_is_unknown_and_not_refused) {
  begin(proxy.url("postgres"));
  for (int i = 1; i <= 20; ++i) {
    proxy.lose_answer_to(insert_key.name);
    BOOST_REQUIRE(await_until([&] { return proxy.lost_answers() >= i; }));
  }
  expect_recovery();
  BOOST_TEST(book->unknown() >= 20U);
}

BOOST_AUTO_TEST_CASE(a_server_without_room_for_more_connections) {
  server.exec("create role crowded login connection limit 4");
  server.exec("grant all on ledger to crowded");
  begin("postgresql://crowded@/postgres?host=" + server.directory() + "&port=5432");
  server.exec("alter role crowded connection limit 0");
  server.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = "
               "'crowded'");
  BOOST_REQUIRE(await_until([&] { return counters.pool_refused >= 1U; }));
  server.exec("alter role crowded connection limit 4");
  expect_recovery();
}

BOOST_AUTO_TEST_SUITE_END()
