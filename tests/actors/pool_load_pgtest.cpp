// Ten thousand requests at once on a pool of eight: each is answered or refused in time, in order,
// in little memory.
#include "tests/actors/pool_fixture.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <unistd.h>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

constexpr int callers = 10'000;
constexpr auto busy_machine = 15s; ///< what it may add to any time
const db::statement quick{"quick", "select pg_backend_pid() from pg_sleep(0.0001)"};
const db::statement slow{"slow", "select pg_backend_pid() from pg_sleep(0.02)"};

std::int64_t resident_kib() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) / 1024;
}

struct heard_of {
  std::map<int, std::vector<int>> by_session; ///< callers in the order of their answers
  int answered = 0;
  int refused = 0;
  int other = 0;
  std::chrono::steady_clock::duration longest{};
  std::promise<void> all;
};

struct loaded : pooled {
  std::shared_ptr<heard_of> ask_all(const db::statement& what) {
    auto heard = std::make_shared<heard_of>();
    auto done = heard->all.get_future();
    sys.spawn([heard, target = one, &what](caf::event_based_actor* self) {
      const auto begun = std::chrono::steady_clock::now();
      const auto count = [heard, begun] {
        heard->longest = std::chrono::steady_clock::now() - begun;
        if (heard->answered + heard->refused + heard->other == callers)
          heard->all.set_value();
      };
      for (int i = 0; i < callers; ++i)
        self->request(target, caf::infinite, std::make_shared<const db::query>(what))
            .then(
                [heard, count, i](const db::result& rows) {
                  heard->by_session[rows.one().get<std::int32_t>(0)].push_back(i);
                  ++heard->answered;
                  count();
                },
                [heard, count](const caf::error& why) {
                  ++(code_of(why) == errc::overloaded ? heard->refused : heard->other);
                  count();
                });
    });
    BOOST_REQUIRE((done.wait_for(patience) == std::future_status::ready));
    return heard;
  }
  void warm_up() {
    std::vector<std::future<outcome_of>> answers;
    for (int i = 0; i < 1000; ++i)
      answers.push_back(ask(db::query{quick}));
    for (auto& each : answers)
      wait(each);
  }
  /// Each session carries out in the order it was handed callers, so nobody was handed out before
  /// one who had asked earlier. Across sessions the kernel decides who is quicker.
  static bool in_order(const heard_of& heard) {
    return std::all_of(heard.by_session.begin(), heard.by_session.end(), [](const auto& session) {
      return std::is_sorted(session.second.begin(), session.second.end());
    });
  }
};

#ifdef __SANITIZE_ADDRESS__
constexpr std::int64_t most_growth_kib = 256 * 1024; // what is freed is kept for a while
#else
constexpr std::int64_t most_growth_kib = 32 * 1024;
#endif

} // namespace

BOOST_FIXTURE_TEST_SUITE(load, loaded)

BOOST_AUTO_TEST_CASE(quick_statements_are_answered_in_order_and_what_is_too_much_refused_at_once) {
  const auto options = options_for(server_url(), 8);
  start(options);
  warm_up();
  const auto before = resident_kib();
  const auto heard = ask_all(quick);
  const auto grown = resident_kib() - before;
  BOOST_TEST(heard->other == 0);
  BOOST_TEST(heard->answered >= static_cast<int>(options.max_waiting));
  BOOST_TEST(heard->by_session.size() == 8U);
  BOOST_TEST(in_order(*heard));
  BOOST_TEST(grown < most_growth_kib);
  BOOST_TEST((heard->longest < options.acquire_timeout + busy_machine));
  // Who is refused hears it before POOL has counted him.
  BOOST_TEST(await_until(
      [&] { return counters.pool_refused == static_cast<std::uint64_t>(heard->refused); }));
  BOOST_TEST(await_until([&] { return counters.pool_waiting == 0U; }));
  BOOST_TEST(metrics.in_flight == 0U);
  BOOST_TEST(metrics.connections == 8U);
  BOOST_TEST_MESSAGE("answered " << heard->answered << ", refused " << heard->refused << ", +"
                                 << grown << " KiB, "
                                 << std::chrono::duration<double>(heard->longest).count() << " s");
}

BOOST_AUTO_TEST_CASE(slow_statements_are_answered_or_refused_within_the_time) {
  auto options = options_for(server_url(), 8);
  options.acquire_timeout = 2s;
  start(options);
  warm_up();
  const auto heard = ask_all(slow);
  BOOST_TEST(heard->other == 0);
  BOOST_TEST(heard->refused > callers / 2);
  BOOST_TEST(in_order(*heard));
  // The last served still has a whole pipeline before it.
  BOOST_TEST((heard->longest < options.acquire_timeout + 64 * 20ms + busy_machine));
  BOOST_TEST(await_until([&] { return counters.pool_waiting == 0U; }));
}

BOOST_AUTO_TEST_SUITE_END()
