// STORE over a POOL that hands queries to a connection which has just ended: they come back unread
// and are sent again, but not for ever.
#include "actors/guard.hpp"
#include "actors/store.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

/// Delegates the first `bad` queries to a dead connection and answers the others without rows.
pool_actor::behavior_type moody_pool(pool_actor::pointer self, connection_actor dead, int bad,
                                     std::shared_ptr<int> asked) {
  return {[=](const query_ptr& query) -> caf::result<db::result> {
    if ((*asked)++ < bad)
      return self->delegate(dead, query);
    return db::result{};
  }};
}

struct store_over : deterministic_system {
  std::shared_ptr<int> asked = std::make_shared<int>(0);

  caf::error remove(int bad) {
    const connection_actor dead =
        spawn([](connection_actor::pointer) -> connection_actor::behavior_type {
          return {[](const query_ptr&) { return db::result{}; },
                  [](const burst_ptr&) { return burst_answers{}; },
                  [](const copy_start&) { return db::result{}; },
                  [](copy_atom) { return std::string{}; },
                  [](copy_atom, const std::string&) {},
                  [](copy_atom, bool) {}};
        });
    caf::anon_send_exit(dead, caf::exit_reason::user_shutdown);
    run();
    const store_actor under_test = spawn(store, pool_actor{spawn(moody_pool, dead, bad, asked)});
    auto answer = std::make_shared<caf::error>(make_error(errc::internal, "no answer"));
    spawn([=](caf::event_based_actor* self) {
      self->request(under_test, caf::infinite, delete_job{job_id{1}})
          .then([answer](const deleted_job&) { *answer = caf::none; },
                [answer](caf::error& error) { *answer = error; });
    });
    run();
    return *answer;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(resending, store_over)

BOOST_AUTO_TEST_CASE(a_query_that_met_an_ending_connection_is_sent_again) {
  BOOST_TEST(!remove(3));
  BOOST_TEST(*asked == 4);
}

BOOST_AUTO_TEST_CASE(a_pool_that_never_finds_a_connection_is_given_up) {
  BOOST_TEST((to_failure(remove(1000)).code == errc::stopping));
  BOOST_TEST(*asked == 5);
}

BOOST_AUTO_TEST_SUITE_END()
