// A server that stands still, postmaster and all: no handler of POOL or CONNECTION waits for it, it
// is noticed however much was asked at once, and everybody is served again soon after. A server of
// its own, for the others' sake.
#include "tests/actors/pool_fixture.hpp"
#include "tests/support/own_server.hpp"

#include <poll.h>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

constexpr auto frozen_for = 5s;
/// What counts as "nobody blocks", besides what the machine takes from a thread that waits for
/// nobody: a handler that waits for the server waits for seconds.
constexpr auto longest_gap = 1s;
constexpr auto soon = 20s;

const db::statement begin_it{"begin_it", "begin"};
/// Milliseconds.
const db::statement work_for{"work_for", "select pg_sleep($1::int8 / 1000.0)"};
const db::statement look_for{
    .name = "look_for", .text = "select pg_sleep($1::int8 / 1000.0)", .reads = true};

/// On the one thread of all actors: how long it was not there, at most.
struct watched {
  std::atomic<std::int64_t> longest_ms{0};
  std::atomic<bool> stop{false};
};

caf::behavior watch_thread(caf::event_based_actor* self, std::shared_ptr<watched> seen) {
  auto last = std::make_shared<clock_type::time_point>(clock_type::now());
  self->send(self, tick_atom_v);
  return {[=](tick_atom) {
    const auto now = clock_type::now();
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(now - *last).count();
    seen->longest_ms = std::max<std::int64_t>(seen->longest_ms, gap);
    *last = now;
    if (!seen->stop)
      self->delayed_send(self, 5ms, tick_atom_v);
  }};
}

/// A thread that waits for nobody: how long it was not there, at most, is the machine's doing.
class idle_thread {
public:
  idle_thread() = default;
  idle_thread(const idle_thread&) = delete;
  idle_thread& operator=(const idle_thread&) = delete;
  ~idle_thread() {
    over_ = true;
    thread_.join();
  }
  std::chrono::milliseconds longest() const { return std::chrono::milliseconds{longest_ms_}; }

private:
  void look() {
    auto last = clock_type::now();
    while (!over_) {
      ::poll(nullptr, 0, 5);
      const auto now = clock_type::now();
      const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(now - last).count();
      longest_ms_ = std::max<std::int64_t>(longest_ms_, gap);
      last = now;
    }
  }

  std::atomic<std::int64_t> longest_ms_{0};
  std::atomic<bool> over_{false};
  std::thread thread_{[this] { look(); }};
};

/// Borrows a connection and begins a transaction on it; again when the machine was too busy for the
/// little time that a statement has.
void begin_on_loan(caf::event_based_actor* self, const pool_impl& pool,
                   const std::shared_ptr<loan_ptr>& lent, event_counter* begun) {
  const auto again = [=](const caf::error&) { begin_on_loan(self, pool, lent, begun); };
  self->request(pool, caf::infinite, lend_atom_v)
      .then(
          [=](const loan_ptr& given) {
            *lent = given;
            self->request(given->connection(), caf::infinite,
                          std::make_shared<const db::query>(begin_it))
                .then([=](const db::result&) { begun->add(); }, again);
          },
          again);
}

/// Asks again whenever it is answered, refused or not.
caf::behavior ask_for_ever(caf::event_based_actor* self, pool_actor pool,
                           std::shared_ptr<watched> seen, event_counter* answers) {
  self->send(self, tick_atom_v);
  return {[=](tick_atom) {
    if (seen->stop)
      return self->quit();
    self->request(pool, caf::infinite, std::make_shared<const db::query>(pid))
        .then(
            [=](const db::result&) {
              answers->add();
              self->send(self, tick_atom_v);
            },
            [=](const caf::error&) { self->delayed_send(self, 20ms, tick_atom_v); });
  }};
}

struct one_thread : caf::actor_system_config {
  one_thread() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{1});
    set("scheduler.max-throughput", std::size_t{100});
  }
};

/// A pool whose statements may take four seconds each.
struct brief : pooled {
  own_server server;

  brief() { start(server.url(), 2, 4s); }
  std::future<burst_answers> send(const loan_ptr& lent, const db::statement& what, int times,
                                  std::int64_t each_ms) {
    auto out = std::make_shared<burst>();
    for (int i = 0; i < times; ++i)
      out->statements.push_back(with(what, each_ms));
    auto promised = std::make_shared<std::promise<burst_answers>>();
    auto answer = promised->get_future();
    in_actor([=](auto* self) {
      self->request(lent->connection(), caf::infinite, burst_ptr{out})
          .then([=](const burst_answers& all) { promised->set_value(all); },
                [=](const caf::error&) { promised->set_value({}); });
    });
    return answer;
  }
  static db::query with(const db::statement& what, std::int64_t ms) {
    db::query q{what};
    q.bind(ms);
    return q;
  }
  bool at_work() const {
    return server.value("select count(*) from pg_stat_activity where application_name = 'troupe' "
                        "and state = 'active'")
           != "0";
  }
};

/// The time of two statements, the grace of three seconds, and what looking once a second adds; the
/// rest is for a busy machine.
constexpr auto noticed_within = 2 * 4s + 3s + 1s + 15s;

} // namespace

BOOST_FIXTURE_TEST_SUITE(long_groups, brief)

BOOST_AUTO_TEST_CASE(a_frozen_server_is_noticed_however_many_statements_were_sent_at_once) {
  auto lent = borrow();
  auto answer = send(lent, work_for, 256, 100);
  BOOST_REQUIRE(await_until([&] { return at_work(); }));
  server.freeze();
  const auto began = clock_type::now();
  BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
  BOOST_TEST((clock_type::now() - began < noticed_within));
  const auto all = answer.get();
  BOOST_REQUIRE(all.each.size() == 256U);
  BOOST_TEST((std::get<failure>(all.each.back()).code == errc::outcome_unknown));
  server.thaw();
}

BOOST_AUTO_TEST_CASE(a_long_group_of_slow_statements_is_carried_out_to_its_end) {
  auto lent = borrow();
  auto answer = send(lent, work_for, 12, 1100); // longer than any silence may last
  BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
  for (const auto& told : answer.get().each)
    BOOST_TEST(std::holds_alternative<db::result>(told));
}

BOOST_AUTO_TEST_CASE(reads_that_share_a_sync_may_take_the_time_of_two_and_no_longer) {
  std::vector<std::future<outcome_of>> slow;
  for (int i = 0; i < 16; ++i) // eight share a sync
    slow.push_back(ask(with(look_for, 300)));
  for (auto& asked : slow)
    BOOST_TEST((code_of(wait(asked)) == errc::none));
  std::vector<std::future<outcome_of>> stuck;
  for (int i = 0; i < 64; ++i)
    stuck.push_back(ask(with(look_for, 100)));
  BOOST_REQUIRE(await_until([&] { return at_work(); }));
  server.freeze();
  const auto began = clock_type::now();
  for (auto& asked : stuck)
    wait(asked);
  BOOST_TEST((clock_type::now() - began < noticed_within));
  server.thaw();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(nobody_waits_for_a_server_that_stands_still) {
  own_server server;
  one_thread config;
  poll_loop loop;
  engine_counters counters;
  database_metrics metrics;
  event_counter answers;
  const auto seen = std::make_shared<watched>();
  caf::actor_system sys{config};
  pool_options options;
  options.connection.url = server.url();
  options.connection.statement_timeout = 100ms;
  options.max_size = 4;
  options.acquire_timeout = 1s;
  options.metrics = &metrics;
  auto one = sys.spawn(pool, options, static_cast<io_loop*>(&loop), &counters);
  auto lent = std::make_shared<loan_ptr>();
  event_counter begun;
  sys.spawn([&, lent](caf::event_based_actor* self) { begin_on_loan(self, one, lent, &begun); });
  BOOST_REQUIRE(begun.await(1));
  for (int i = 0; i < 100; ++i)
    sys.spawn(ask_for_ever, pool_actor{one}, seen, &answers);
  BOOST_REQUIRE(answers.await(1000));

  idle_thread control;
  const auto watcher = sys.spawn(watch_thread, seen);
  server.freeze();
  const auto until = clock_type::now() + frozen_for;
  lent->reset(); // what has to be undone is undone by replacing the connection
  const auto given_up = [&] { return counters.connections_lost >= 2U; };
  BOOST_REQUIRE(await_until([&] { return clock_type::now() >= until && given_up(); }));
  const auto served_while_frozen = answers.count();
  server.thaw();
  const auto thawed = clock_type::now();
  BOOST_REQUIRE(answers.await(served_while_frozen + 1000));
  BOOST_TEST((clock_type::now() - thawed < soon));
  const std::chrono::milliseconds most = longest_gap + control.longest();
  BOOST_TEST(seen->longest_ms < most.count());
  BOOST_TEST_MESSAGE("longest time without the thread: " << seen->longest_ms << " ms; connections "
                                                         << "given up: "
                                                         << counters.connections_lost);
  seen->stop = true;
  caf::anon_send_exit(watcher, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
}
