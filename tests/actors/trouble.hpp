// POOL and DESK over a server that is made to fail, and crowds that write all the while: single
// statements, transactions step by step, transactions sent at once. Each crowd has a ledger of what
// it was told. Asked by the fault tests, from the test's thread.
#pragma once

#include "actors/pool.hpp"
#include "actors/work_desk.hpp"
#include "db/statements.hpp"
#include "tests/actors/control_client.hpp"
#include "tests/actors/ledger.hpp"
#include "tests/actors/system_config.hpp"
#include "tests/actors/transaction_writer.hpp"
#include "tests/support/await.hpp"
#include "tests/support/chaos_proxy.hpp"
#include "tests/support/own_server.hpp"
#include "tests/support/poll_loop.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>

#include <array>
#include <sstream>

namespace troupe::tests {

using namespace std::chrono_literals; // NOLINT(google-build-using-namespace)

/// Prepared under this name, so that the proxy can see it pass.
inline const db::statement insert_key{"insert_key", "insert into ledger (key) values ($1)"};

struct trouble {
  static constexpr std::size_t pool_size = 4;
  /// Of single statements.
  static constexpr int writers = 8;
  /// Of transactions, of each sort.
  static constexpr int units = 4;
  /// Full service after the cause has ended, and after the server serves a client without actors.
  static constexpr auto recovery_limit = 5s;
  /// The longest any caller may wait for his answer, whatever happens: acquire timeout, statement
  /// timeout and the grace for a silent server, and what a busy machine adds.
  static constexpr auto answer_limit = 45s;
  /// In a transaction: a group has the time of two statements, and a lost commit that
  /// of looking it up.
  static constexpr auto unit_answer_limit = 90s;

  struct crowd {
    const char* table;
    std::shared_ptr<ledger> book = std::make_shared<ledger>();
    std::vector<caf::actor> members{};
  };

  own_server server;
  chaos_proxy proxy{server.socket_path()};
  system_config config;
  poll_loop loop;
  engine_counters counters;
  database_metrics metrics;
  caf::actor_system sys{config};
  pool_impl one;
  work_desk_impl desk;
  std::shared_ptr<std::atomic<bool>> ending = std::make_shared<std::atomic<bool>>(false);
  bool crashed = false;
  std::chrono::milliseconds acquire_timeout = pool_options{}.acquire_timeout;
  crowd singles{"ledger"};    ///< an answer that is lost: unknown
  crowd stepwise{"steps"};    ///< the transaction has a number before its commit: always resolved
  crowd at_once{"one_burst"}; ///< no number to look up: unknown

  trouble() {
    server.exec("create table ledger (key bigint primary key)");
    for (const auto* table : {"steps", "one_burst"})
      server.exec(std::string{"create table "} + table
                  + " (key bigint, half bigint, primary key (key, half))");
  }
  trouble(const trouble&) = delete;
  trouble& operator=(const trouble&) = delete;
  ~trouble() {
    *ending = true;
    caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  }

  void start(const std::string& url) {
    pool_options options;
    options.connection.url = url;
    options.connection.statement_timeout = 5s;
    options.connection.connect_timeout = 3s;
    options.acquire_timeout = acquire_timeout;
    options.min_size = options.max_size = pool_size;
    options.reconnect_cap = 1s;
    options.metrics = &metrics;
    one = sys.spawn(pool, options, static_cast<io_loop*>(&loop), &counters);
    desk = sys.spawn(work_desk);
  }
  /// Writers of every sort are at work.
  void begin(const std::string& url) {
    start(url);
    write_singly();
    write_in_transactions();
    BOOST_REQUIRE(await_until([&] { return everybody_wrote(1); }));
  }
  void write_singly() {
    for (int i = 0; i < writers; ++i)
      singles.members.push_back(
          sys.spawn(single_writer, pool_actor{one}, singles.book, ending, &insert_key));
  }
  void write_in_transactions(int how_many = units) {
    for (int i = 0; i < how_many; ++i) {
      write_in_transactions(stepwise, insert_step, true);
      write_in_transactions(at_once, insert_in_burst, false);
    }
  }
  void write_in_transactions(crowd& into, const db::statement& insert, bool waits) {
    auto unit = open();
    into.members.push_back(caf::actor_cast<caf::actor>(unit));
    std::make_shared<transaction_writer>(unit, into.book, ending, &insert, waits)->run();
  }
  unit_of_work_actor open() {
    return sys.spawn(unit_of_work, work_peers{one, {}, {}, desk, {}, &counters, &metrics},
                     work_options{});
  }
  std::array<crowd*, 3> crowds() { return {&singles, &stepwise, &at_once}; }
  void mark() {
    for (auto* who : crowds())
      who->book->mark();
  }
  /// Each as often since the mark, those that are at work.
  bool everybody_wrote(std::size_t times) {
    for (const auto* who : crowds())
      if (who->book->successes_since_mark() < times * who->members.size())
        return false;
    return true;
  }
  /// What a crash forgets cannot be looked up.
  void crash() {
    crashed = true;
    server.stop_immediately();
    server.start();
  }
  void end_writing() {
    *ending = true;
    caf::scoped_actor self{sys};
    for (const auto* who : crowds())
      for (const auto& member : who->members)
        self->wait_for(member);
  }

  /// The cause has ended: everybody is served again in time, and nothing acknowledged is lost.
  void expect_recovery() {
    mark();
    control_client control(server.url());
    BOOST_TEST(await_until([&] { return everybody_wrote(10); }));
    end_writing();
    const auto server_took = control.longest();
    expect_answered();
    const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
    for (const auto* who : crowds()) {
      const auto last = who->book->last_failure_after_mark();
      BOOST_TEST_MESSAGE(std::string{who->table} + ": the last failure "
                         << seconds(last) << " s after the cause; the server took "
                         << seconds(server_took) << " s for a commit");
      BOOST_TEST((last < recovery_limit + server_took));
    }
  }
  /// Ends the writing. The ledgers agree with the tables, and nothing is held.
  void expect_answered() {
    end_writing();
    for (const auto* who : crowds()) {
      BOOST_TEST_MESSAGE(std::string{who->table} + ": " + who->book->summary());
      BOOST_TEST((who->book->slowest() < (who == &singles ? answer_limit : unit_answer_limit)));
      BOOST_TEST(who->book->verdict(stored(who->table)) == "");
    }
    // Both halves or none; and never a commit of which nobody knows.
    for (const auto* table : {"steps", "one_burst"})
      BOOST_TEST(server.value(std::string{"select count(*) from (select from "} + table
                              + " where key > 0 group by key having count(*) <> 2) torn")
                 == "0");
    BOOST_TEST((crashed || stepwise.book->unknown() == 0U));
    expect_nothing_left();
  }
  /// Give-backs and retirements are on their way still: what stays open is the pool's own.
  void expect_nothing_left() {
    BOOST_TEST(await_until([&] { return counters.pool_waiting == 0U; }));
    BOOST_TEST(await_until([&] { return metrics.lent == 0U; }));
    BOOST_TEST(await_until([&] { return sessions("true") <= pool_size; }));
    BOOST_TEST(await_until([&] { return sessions("state like 'idle in transaction%'") == 0U; }));
  }

  std::multiset<std::int64_t> stored(const std::string& table) const {
    std::multiset<std::int64_t> keys;
    std::istringstream text{
        server.value("select coalesce(string_agg(distinct key::text, ' '), '') from " + table)};
    std::int64_t key = 0;
    while (text >> key)
      keys.insert(key);
    return keys;
  }
  std::size_t sessions(const std::string& which) const {
    return std::stoul(server.value("select count(*) from pg_stat_activity where application_name = "
                                   "'troupe' and backend_type = 'client backend' and "
                                   + which));
  }
  std::uint64_t lookups() {
    const auto& seen = metrics.of(db::sql::transaction_status.name).latency;
    std::uint64_t all = 0;
    for (std::size_t i = 0; i <= latency_histogram::bounds_us.size(); ++i)
      all += seen.count(i);
    return all;
  }
};

/// Load goes on for so long: writers need time under the fault, and there is no event to wait for.
inline void let_pass(std::chrono::milliseconds time) {
  await_until([] { return false; }, time);
}

} // namespace troupe::tests
