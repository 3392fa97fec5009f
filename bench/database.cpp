// The engine's side of bench/database: the same statements as database_bare, single ones asked of
// POOL as STORE asks it, transactions of one UNIT OF WORK for each connection. Prints one JSON
// object.
// Usage: troupe_bench_database --url URL [--mode statements|transactions] [--count N]
//          [--connections N] [--window N]
#include "actors/pool.hpp"
#include "actors/unit_of_work.hpp"
#include "actors/work_desk.hpp"
#include "launcher/asio_loop.hpp"
#include "launcher/socket_scheduler.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/stateful_actor.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

namespace db = troupe::db;

const db::statement read_row{
    .name = "bench_read", .text = "select id, note from bench_row where id = $1", .reads = true};
const db::statement insert{"bench_insert",
                           "insert into bench_made (note) values ($1) returning id"};

struct system_config : caf::actor_system_config {
  explicit system_config(troupe::readiness& sockets) {
    troupe::use_socket_scheduler(*this, sockets);
    set("scheduler.max-threads", std::size_t{2});
    set("scheduler.max-throughput", std::size_t{100});
  }
};

struct driver_state {
  driver_state() = default;
  int sent = 0;
  int answered = 0;
};
using driver = caf::stateful_actor<driver_state>;
/// Set to why it failed, or to nothing.
using ending = std::shared_ptr<std::promise<std::string>>;

/// Keeps `window` statements in flight until `count` are answered.
struct driving {
  driver* self;
  troupe::pool_actor pool;
  int count;
  ending done;

  void send() const {
    const auto id = static_cast<std::int64_t>(1 + self->state.sent++ % 1000);
    auto query = std::make_shared<const db::query>(db::query{read_row}.bind(id));
    self->request(pool, caf::infinite, troupe::query_ptr{std::move(query)})
        .then(
            [*this](const db::result& rows) {
              if (rows.rows() != 1)
                return fail("a statement gave no row");
              if (self->state.sent < count)
                send();
              if (++self->state.answered == count)
                finish({});
            },
            [*this](const caf::error& why) { fail(caf::to_string(why)); });
  }
  void fail(const std::string& why) const {
    if (self->state.answered < count)
      finish(why);
  }
  void finish(const std::string& why) const {
    self->state.answered = count + 1;
    done->set_value(why);
    self->quit();
  }
};

std::string drive(caf::actor_system& system, const troupe::pool_actor& pool, int count,
                  int window) {
  auto done = std::make_shared<std::promise<std::string>>();
  auto ended = done->get_future();
  system.spawn([=](driver* self) {
    for (int i = 0; i < window && i < count; ++i)
      driving{self, pool, count, done}.send();
  });
  return ended.get();
}

/// One transaction after the other through one UNIT OF WORK, each sent as a caller would who awaits
/// its commit only. Answers come on that actor's thread, one at a time.
class transactions : public std::enable_shared_from_this<transactions> {
public:
  transactions(troupe::unit_of_work_actor unit, int count) : unit_(std::move(unit)), left_(count) {}

  std::future<std::string> begin() {
    next();
    return ended_.get_future();
  }

private:
  void ask(db::work_request what, bool last = false) {
    auto told = [self = shared_from_this(), last](const troupe::work_answer& answer) {
      if (const auto* failed = std::get_if<troupe::failure>(&answer.outcome))
        self->fail(failed->detail);
      else if (last)
        self->next();
    };
    caf::anon_send(unit_, std::make_shared<troupe::work_call>(std::move(what), 0, told));
  }
  void next() {
    if (left_-- == 0)
      return ended_.set_value({});
    ask(db::begin_work{});
    ask(db::run_query{db::query{insert}.bind("a note of some length")});
    ask(db::set_savepoint{"part"});
    ask(db::release_savepoint{"part"});
    ask(db::commit_work{}, true);
  }
  void fail(const std::string& why) {
    if (std::exchange(left_, -1) >= 0)
      ended_.set_value(why);
  }

  troupe::unit_of_work_actor unit_;
  int left_;
  std::promise<std::string> ended_;
};

std::string drive_transactions(caf::actor_system& system, const troupe::work_peers& peers,
                               int count, int connections) {
  std::vector<std::future<std::string>> ends;
  std::vector<troupe::unit_of_work_actor> units;
  for (int i = 0; i < connections; ++i) {
    units.push_back(system.spawn(troupe::unit_of_work, peers, troupe::work_options{}));
    ends.push_back(std::make_shared<transactions>(units.back(), count / connections)->begin());
  }
  std::string why;
  for (auto& end : ends)
    why += end.get();
  for (const auto& unit : units)
    caf::anon_send(unit, troupe::halt_atom_v);
  return why;
}

} // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {
      {"--count", "200000"}, {"--connections", "1"}, {"--window", "64"}, {"--mode", "statements"}};
  for (int i = 1; i + 1 < argc; i += 2)
    flags[argv[i]] = argv[i + 1];
  const bool single = flags["--mode"] == "statements";
  const int count = std::atoi(flags["--count"].c_str());
  const int connections = std::atoi(flags["--connections"].c_str());
  const int window = std::atoi(flags["--window"].c_str()) * connections;
  troupe::asio_loop loop;
  loop.start();
  std::string why;
  {
    troupe::readiness sockets;
    system_config config{sockets};
    caf::actor_system system{config};
    troupe::engine_counters counters;
    troupe::database_metrics metrics;
    troupe::pool_options options;
    options.connection.url = flags["--url"];
    options.metrics = &metrics;
    options.sockets = &sockets;
    // One connection is never lent.
    options.min_size = options.max_size = static_cast<std::size_t>(connections + (single ? 0 : 1));
    auto pool =
        system.spawn(troupe::pool, options, static_cast<troupe::io_loop*>(&loop), &counters);
    auto desk = system.spawn(troupe::work_desk);
    const troupe::work_peers peers{pool, {}, {}, desk, {}, &counters, &metrics};
    const auto go = [&](int times) {
      return single ? drive(system, pool, times, window)
                    : drive_transactions(system, peers, times, connections);
    };
    why = go(10 * window); // connects and prepares
    const auto begun = clock_type::now();
    if (why.empty())
      why = go(count);
    const double seconds = std::chrono::duration<double>(clock_type::now() - begun).count();
    if (why.empty())
      std::printf("{\"per_second\": %.0f, \"count\": %d}\n", count / seconds, count);
    caf::anon_send_exit(desk, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(pool, caf::exit_reason::user_shutdown);
    loop.stop();
  }
  if (!why.empty())
    std::fprintf(stderr, "database: %s\n", why.c_str());
  return why.empty() ? 0 : 1;
}
