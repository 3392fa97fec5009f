// A POOL over a real server, asked from the test's thread.
#pragma once

#include "actors/pool.hpp"
#include "tests/actors/system_config.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/poll_loop.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>

#include <future>

namespace troupe::tests {

using namespace std::chrono_literals;

inline const db::statement echo{"echo", "select $1::int8"};
inline const db::statement pid{"pid", "select pg_backend_pid()"};

using outcome_of = std::variant<db::result, caf::error>;

struct pooled {
  system_config config;
  poll_loop loop;
  engine_counters counters;
  database_metrics metrics;
  caf::actor_system sys{config};
  pool_impl one;

  ~pooled() {
    if (one)
      caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  }
  pool_options options_for(const std::string& url, std::size_t size = 2) {
    pool_options options;
    options.connection.url = url;
    options.min_size = size;
    options.max_size = size;
    options.acquire_timeout = 20s;
    options.clean_up_limit = 20s;
    options.reconnect_cap = 200ms;
    options.metrics = &metrics;
    return options;
  }
  void start(const pool_options& options) {
    one = sys.spawn(pool, options, static_cast<io_loop*>(&loop), &counters);
  }
  void start(const std::string& url, std::size_t size = 2,
             std::chrono::milliseconds statement_timeout = 10s) {
    auto options = options_for(url, size);
    options.connection.statement_timeout = statement_timeout;
    start(options);
  }
  /// Runs `asks` in an actor of its own, to its end: what it sends is sent when this returns, so
  /// that of two calls the first arrives first.
  template<class F>
  void in_actor(F asks) {
    auto promised = std::make_shared<std::promise<void>>();
    auto sent = promised->get_future();
    sys.spawn([promised, asks = std::move(asks)](caf::event_based_actor* self) {
      asks(self);
      promised->set_value();
    });
    sent.wait();
  }
  std::future<outcome_of> ask(db::query what) { return ask_of(one, std::move(what)); }
  template<class Asked>
  std::future<outcome_of> ask_of(Asked asked, db::query what) {
    auto promised = std::make_shared<std::promise<outcome_of>>();
    auto answer = promised->get_future();
    in_actor([promised, target = std::move(asked),
              query = std::make_shared<const db::query>(std::move(what))](auto* self) {
      self->request(target, caf::infinite, query)
          .then([promised](const db::result& rows) { promised->set_value(rows); },
                [promised](caf::error& why) { promised->set_value(std::move(why)); });
    });
    return answer;
  }
  static outcome_of wait(std::future<outcome_of>& answer) {
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
    return answer.get();
  }
  outcome_of now_on(const loan_ptr& lent, const db::query& what) {
    auto answer = ask_of(lent->connection(), what);
    return wait(answer);
  }
  using loan_or_error = std::variant<loan_ptr, caf::error>;
  std::future<loan_or_error> borrow_later() {
    auto promised = std::make_shared<std::promise<loan_or_error>>();
    auto answer = promised->get_future();
    in_actor([promised, target = one](auto* self) {
      self->request(target, caf::infinite, lend_atom_v)
          .then([promised](const loan_ptr& lent) { promised->set_value(lent); },
                [promised](caf::error& why) { promised->set_value(std::move(why)); });
    });
    return answer;
  }
  loan_ptr borrow() {
    auto answer = borrow_later();
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
    auto lent = answer.get();
    BOOST_REQUIRE(std::holds_alternative<loan_ptr>(lent));
    return std::get<loan_ptr>(lent);
  }
  static std::string detail_of(const outcome_of& answer) {
    const auto* why = std::get_if<caf::error>(&answer);
    return why == nullptr ? std::string{} : to_failure(*why).detail;
  }
  outcome_of now(const db::query& what) {
    auto answer = ask(what);
    return wait(answer);
  }
  static errc code_of(const outcome_of& answer) {
    const auto* why = std::get_if<caf::error>(&answer);
    if (why == nullptr)
      return errc::none;
    BOOST_TEST((why->category() == errc_category));
    return static_cast<errc>(why->code());
  }
  template<class T>
  static T value_of(const outcome_of& answer) {
    BOOST_REQUIRE_MESSAGE(std::holds_alternative<db::result>(answer), detail_of(answer));
    return std::get<db::result>(answer).one().get<T>(0);
  }
  static db::query with(std::int64_t value) {
    db::query q{echo};
    q.bind(value);
    return q;
  }
  int backend() {
    const auto rows = now(db::query{pid});
    BOOST_REQUIRE((code_of(rows) == errc::none));
    return std::get<db::result>(rows).one().get<std::int32_t>(0);
  }
};

} // namespace troupe::tests
