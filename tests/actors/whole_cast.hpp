// All actors of an engine over a database of the test's own, without a node: nothing is run until
// begin().
#pragma once

#include "actors/cast.hpp"
#include "tests/actors/system_config.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/poll_loop.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/send.hpp>

#include <future>
#include <memory>
#include <utility>

namespace troupe::tests {

struct whole_cast {
  test_database database;
  system_config config;
  poll_loop loop;
  engine_counters counters;
  database_metrics metrics;
  std::shared_ptr<health_board> board = std::make_shared<health_board>();
  cast_options options;
  caf::actor_system sys{config};
  cast all;

  whole_cast() {
    options.pool.connection.url = database.url();
    options.pool.max_size = 2;
    options.pool.acquire_timeout = std::chrono::seconds{30}; // the first connection takes its time
    options.pool.metrics = &metrics;
    all = spawn_cast(sys, options, loop, counters, board);
  }
  whole_cast(const whole_cast&) = delete;
  whole_cast& operator=(const whole_cast&) = delete;
  ~whole_cast() {
    caf::anon_send_exit(all.root, caf::exit_reason::user_shutdown);
    all = {};
  }
  api_reply ask(api_request request) const {
    auto promised = std::make_shared<std::promise<api_reply>>();
    auto answer = promised->get_future();
    caf::anon_send(
        all.gate, std::make_shared<const api_call>(std::move(request), [promised](api_reply reply) {
          promised->set_value(std::move(reply));
        }));
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
    return answer.get();
  }
};

} // namespace troupe::tests
