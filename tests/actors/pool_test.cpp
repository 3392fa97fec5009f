// POOL in virtual time, over connections that never come to an end of connecting: callers wait, are
// bounded, and are always answered.
#include "actors/pool.hpp"
#include "tests/actors/deterministic_system.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement one_statement{"one", "select 1"};

class silent_watch : public fd_watch {
public:
  void when_readable(std::function<void()>) override {}
  void when_writable(std::function<void()>) override {}
};

/// An io_loop on which nothing ever becomes ready.
class silent_loop : public io_loop {
public:
  void post(std::function<void()>) override {}
  std::unique_ptr<fd_watch> watch(int) override {
    ++watches;
    return std::make_unique<silent_watch>();
  }
  std::unique_ptr<io_timer> timer() override { return nullptr; }
  void resolve(std::string host, std::function<void(resolution)> callback) override {
    asked.push_back({std::move(host), std::move(callback)});
  }
  bool beside(std::function<void()>, std::function<void()>) override { return false; }
  struct lookup {
    std::string host;
    std::function<void(resolution)> callback;
  };
  int watches = 0;
  std::vector<lookup> asked;
};

/// A socket that takes connections and never says a word.
class silent_server {
public:
  silent_server() : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = (dir_.path() / ".s.PGSQL.5432").string();
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(::listen(fd_, 16) == 0);
  }
  silent_server(const silent_server&) = delete;
  silent_server& operator=(const silent_server&) = delete;
  ~silent_server() { ::close(fd_); }
  std::string url() const { return "host=" + dir_.path().string() + " user=x dbname=x"; }

private:
  temp_dir dir_;
  int fd_;
};

struct pooled : deterministic_system {
  silent_server server;
  silent_loop loop;
  engine_counters counters;
  pool_impl one;
  std::vector<failure> refusals;

  pool_options options() const {
    pool_options some;
    some.connection.url = server.url();
    some.min_size = 2;
    some.max_size = 2;
    some.max_waiting = 3;
    return some;
  }
  void start(const pool_options& with) {
    one = spawn(pool, with, static_cast<io_loop*>(&loop), &counters);
    run();
  }
  void ask() {
    spawn([this](caf::event_based_actor* self) {
      self->request(one, caf::infinite, std::make_shared<const db::query>(one_statement))
          .then([](const db::result&) { BOOST_ERROR("an answer out of nothing"); },
                [this](caf::error& why) { refusals.push_back(to_failure(why)); });
    });
    run();
  }
  static failure to_failure(const caf::error& why) {
    failure out{static_cast<errc>(why.code()), {}};
    BOOST_TEST((why.category() == errc_category));
    if (why.context().match_elements<std::string>())
      out.detail = why.context().get_as<std::string>(0);
    return out;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(pools, pooled)

BOOST_AUTO_TEST_CASE(callers_wait_for_a_connection_and_not_for_ever) {
  start(options());
  ask();
  advance(1s);
  ask();
  BOOST_TEST(refusals.empty());
  BOOST_TEST(counters.pool_waiting == 2U);
  advance(1900ms);
  BOOST_TEST(refusals.empty());
  advance(300ms);
  BOOST_REQUIRE(refusals.size() == 1U);
  BOOST_TEST(refusals[0].code == errc::unavailable);
  BOOST_TEST(refusals[0].detail.find("no database connection") == 0U);
  advance(1s);
  BOOST_TEST(refusals.size() == 2U);
  BOOST_TEST(counters.pool_waiting == 0U);
  BOOST_TEST(counters.pool_refused == 2U);
  ask(); // the sweep begins anew
  advance(4s);
  BOOST_TEST(refusals.size() == 3U);
}

BOOST_AUTO_TEST_CASE(above_the_bound_callers_are_refused_at_once) {
  start(options());
  for (int i = 0; i < 5; ++i)
    ask();
  BOOST_REQUIRE(refusals.size() == 2U);
  BOOST_TEST(refusals[0].code == errc::overloaded);
  BOOST_TEST(counters.pool_waiting == 3U);
  advance(4s);
  BOOST_TEST(refusals.size() == 5U);
  ask(); // and then there is room again
  BOOST_TEST(refusals.size() == 5U);
}

BOOST_AUTO_TEST_CASE(its_end_answers_everybody_and_ends_its_connections) {
  start(options());
  ask();
  ask();
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  BOOST_REQUIRE(refusals.size() == 2U);
  for (const auto& why : refusals)
    BOOST_TEST(why.code == errc::stopping);
  BOOST_TEST(ended(one));
}

BOOST_AUTO_TEST_CASE(a_server_that_is_not_there_is_tried_again_and_named_to_who_waits) {
  auto nowhere = options();
  nowhere.connection.url = "host=/nonexistent-directory user=x dbname=x";
  nowhere.min_size = 1;
  start(nowhere);
  ask();
  advance(4s);
  BOOST_REQUIRE(refusals.size() == 1U);
  BOOST_TEST(refusals[0].code == errc::unavailable);
  BOOST_TEST(refusals[0].detail.find("/nonexistent-directory") != std::string::npos);
  const auto& state = state_of<pool_state, pool_impl>(one);
  BOOST_TEST(state.failures >= 4);
  const int before = state.failures;
  advance(60s, 100ms);
  BOOST_TEST(state.failures - before >= 20); // the pauses end at two seconds
  BOOST_TEST(state.failures - before <= 45);
}

BOOST_AUTO_TEST_CASE(names_are_looked_up_by_the_loop_before_anything_is_dialed) {
  auto named = options();
  named.connection.url = "host=db.test port=1 user=x dbname=x";
  named.min_size = 1;
  start(named);
  BOOST_REQUIRE(loop.asked.size() == 1U);
  BOOST_TEST(loop.asked[0].host == "db.test");
  BOOST_TEST(loop.watches == 0);
  loop.asked[0].callback({{"127.0.0.1"}, {}});
  run();
  BOOST_TEST(loop.watches == 1);
}

BOOST_AUTO_TEST_CASE(a_name_without_an_address_is_told_to_who_waits_and_asked_for_again) {
  auto named = options();
  named.connection.url = "host=db.test user=x dbname=x";
  named.min_size = 1;
  start(named);
  ask();
  std::size_t answered = 0;
  for (int i = 0; i < 320; ++i) {
    while (answered < loop.asked.size())
      loop.asked[answered++].callback({{}, "db.test: no such host"});
    advance(10ms);
  }
  BOOST_REQUIRE(refusals.size() == 1U);
  BOOST_TEST(refusals[0].detail.find("db.test: no such host") != std::string::npos);
  BOOST_TEST(loop.watches == 0);
  BOOST_TEST(answered >= 3U);
}

BOOST_AUTO_TEST_CASE(of_several_hosts_those_with_an_address_are_dialed) {
  auto named = options();
  named.connection.url = "host=gone.test,db.test port=1 user=x dbname=x";
  named.min_size = 1;
  start(named);
  BOOST_REQUIRE(loop.asked.size() == 2U);
  loop.asked[0].callback({{}, "gone.test: no such host"});
  run();
  BOOST_TEST(loop.watches == 0);
  loop.asked[1].callback({{"127.0.0.1"}, {}});
  run();
  BOOST_TEST(loop.watches == 1);
}

BOOST_AUTO_TEST_CASE(a_lookup_without_an_answer_is_given_up) {
  auto named = options();
  named.connection.url = "host=db.test user=x dbname=x";
  named.connection.connect_timeout = 2s;
  named.min_size = 1;
  start(named);
  ask();
  advance(3200ms);
  BOOST_REQUIRE(refusals.size() == 1U);
  BOOST_TEST(refusals[0].detail.find("looking up db.test takes too long") != std::string::npos);
  for (auto& each : loop.asked)
    each.callback({{"127.0.0.1"}, {}}); // too late for the first
  run();
}

BOOST_AUTO_TEST_SUITE_END()
