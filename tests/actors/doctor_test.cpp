// DOCTOR over a POOL that the test answers for: one look at a time, and what ends it.
#include "actors/doctor.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

using pool_double_impl = pool_actor::extend<caf::reacts_to<act>>;
using asked_queries = inbox<query_ptr, db::result>;

pool_double_impl::behavior_type pool_double(pool_double_impl::pointer self,
                                            std::shared_ptr<asked_queries> asked) {
  return {[=](const query_ptr& query) { return kept(self, *asked, query); },
          [](const act& what) { (*what)(); }};
}

struct practice : deterministic_system {
  std::shared_ptr<asked_queries> asked = std::make_shared<asked_queries>();
  pool_double_impl pool = spawn(pool_double, asked);
  doctor_actor one = spawn(doctor, pool_actor{pool}, std::size_t{4});
  std::shared_ptr<std::vector<failure>> refusals = std::make_shared<std::vector<failure>>();

  void ask() {
    sys.spawn([to = one, refusals = refusals](caf::event_based_actor* self) {
      self->request(to, caf::infinite, ask_doctor{})
          .then([](const doctor_report&) { BOOST_ERROR("nothing was answered"); },
                [=](const caf::error& why) { refusals->push_back(to_failure(why)); });
    });
    run();
  }
  void refuse(errc why) {
    BOOST_REQUIRE(!asked->empty());
    auto promise = std::move(asked->waiting.front().answer);
    asked->waiting.pop_front();
    caf::anon_send(pool, std::make_shared<std::function<void()>>(
                             [=]() mutable { promise.deliver(make_error(why, "no")); }));
    run();
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(those_who_ask_during_a_look_are_told_of_the_next_one, practice) {
  for (int i = 0; i < 3; ++i)
    ask();
  BOOST_TEST(asked->seen == 1);
  refuse(errc::unavailable);
  BOOST_TEST(refusals->size() == 1U);
  BOOST_TEST(asked->seen == 2);
  refuse(errc::unavailable);
  BOOST_REQUIRE(refusals->size() == 3U);
  for (const auto& each : *refusals)
    BOOST_TEST(each.code == errc::unavailable);
  BOOST_TEST(asked->seen == 2);
  ask(); // is a look of its own
  BOOST_TEST(asked->seen == 3);
}

BOOST_FIXTURE_TEST_CASE(nothing_is_found_out_without_the_first_answer, practice) {
  for (const auto why : {errc::database, errc::timed_out}) {
    ask();
    refuse(why);
    BOOST_REQUIRE(!refusals->empty());
    BOOST_TEST(refusals->back().code == why);
  }
  BOOST_TEST(asked->empty());
}

BOOST_FIXTURE_TEST_CASE(those_who_wait_when_it_ends_are_answered, practice) {
  ask();
  caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
  run();
  BOOST_REQUIRE(refusals->size() == 1U);
}
