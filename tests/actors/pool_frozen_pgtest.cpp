// A server that stands still for five seconds, postmaster and all: no handler of POOL or CONNECTION
// waits for it, and everybody is served again soon after. A server of its own, for the others'
// sake.
#include "tests/actors/pool_fixture.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

using clock_type = std::chrono::steady_clock;

constexpr auto frozen_for = 5s;
/// What counts as "nobody blocks": a busy machine may take a thread away for a while, but a handler
/// that waits for the server waits for seconds.
constexpr auto longest_gap = 500ms;
constexpr auto soon = 5s;

const db::statement begin_it{"begin_it", "begin"};

class own_server {
public:
  own_server() : dir_("/tmp/troupe-frozen-" + std::to_string(::getpid())) { run("start"); }
  own_server(const own_server&) = delete;
  own_server& operator=(const own_server&) = delete;
  ~own_server() {
    thaw();
    run("stop");
  }
  std::string url() const { return "postgresql://postgres@/postgres?host=" + dir_ + "&port=5432"; }
  void freeze() {
    ::kill(postmaster(), SIGSTOP);
    for (const auto child : children())
      ::kill(child, SIGSTOP);
  }
  void thaw() {
    for (const auto child : children())
      ::kill(child, SIGCONT);
    ::kill(postmaster(), SIGCONT);
  }

private:
  void run(const std::string& what) {
    const auto command = std::string{TROUPE_TEST_DATABASE_SCRIPT} + " " + what
                         + (what == "start" ? " --no-fsync " : " ") + dir_ + " >/dev/null";
    BOOST_REQUIRE(std::system(command.c_str()) == 0); // NOLINT(concurrency-mt-unsafe)
  }
  pid_t postmaster() const {
    pid_t found = 0;
    std::ifstream(dir_ + "/data/postmaster.pid") >> found;
    BOOST_REQUIRE(found > 1);
    return found;
  }
  std::vector<pid_t> children() const {
    std::vector<pid_t> found;
    const auto parent = std::to_string(postmaster());
    for (const auto& process : std::filesystem::directory_iterator("/proc")) {
      std::ifstream stat(process.path() / "stat");
      std::string text;
      std::getline(stat, text);
      const auto name_end = text.rfind(") ");
      if (name_end != std::string::npos && text.compare(name_end + 4, parent.size(), parent) == 0
          && text[name_end + 4 + parent.size()] == ' ')
        found.push_back(static_cast<pid_t>(std::stol(process.path().filename().string())));
    }
    return found;
  }

  std::string dir_;
};

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

} // namespace

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
  sys.spawn([&, lent](caf::event_based_actor* self) {
    self->request(one, caf::infinite, lend_atom_v).then([&, self, lent](const loan_ptr& given) {
      *lent = given;
      self->request(given->connection(), caf::infinite, std::make_shared<const db::query>(begin_it))
          .then([&](const db::result&) { begun.add(); });
    });
  });
  BOOST_REQUIRE(begun.await(1));
  for (int i = 0; i < 100; ++i)
    sys.spawn(ask_for_ever, pool_actor{one}, seen, &answers);
  BOOST_REQUIRE(answers.await(1000));

  const auto watcher = sys.spawn(watch_thread, seen);
  server.freeze();
  const auto until = clock_type::now() + frozen_for;
  lent->reset(); // what has to be undone is undone by replacing the connection
  BOOST_REQUIRE(await_until([&] { return clock_type::now() >= until; }));
  const auto served_while_frozen = answers.count();
  BOOST_TEST(counters.connections_lost >= 2U); // given up and closed meanwhile
  server.thaw();
  const auto thawed = clock_type::now();
  BOOST_REQUIRE(answers.await(served_while_frozen + 1000));
  BOOST_TEST((clock_type::now() - thawed < soon));
  BOOST_TEST(seen->longest_ms < longest_gap.count());
  BOOST_TEST_MESSAGE("longest time without the thread: " << seen->longest_ms << " ms; connections "
                                                         << "given up: "
                                                         << counters.connections_lost);
  seen->stop = true;
  caf::anon_send_exit(watcher, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
}
