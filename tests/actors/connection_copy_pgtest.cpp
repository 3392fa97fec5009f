// COPY on a lent connection of a real server: what the end of the loan leaves of it, silence, and
// what is refused.
#include "tests/actors/pool_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const db::statement copy_in{"copy_in", "copy kept from stdin"};
const db::statement some{"some", "copy (select repeat('x', 1000) from generate_series(1, 20000)) "
                                 "to stdout"};
const db::statement endless{"endless", "copy (select repeat('x', 100000), pg_sleep(0.01) from "
                                       "generate_series(1, 100000)) to stdout"};
const db::statement silent{"silent", "copy (select pg_sleep(60)) to stdout"};
const db::statement brief{"brief", "copy (select 1) to stdout"};
const db::statement short_sleep{"short_sleep", "select pg_sleep(0.002)"};
const db::statement no_limit{"no_limit", "set statement_timeout = 0"};

struct copying : pooled {
  test_database database{test_database::content::empty};

  copying() { database.exec("create table kept (text text)"); }

  template<class Reply, class... Ts>
  std::future<std::variant<Reply, caf::error>> ask_for(const loan_ptr& lent, Ts... what) {
    using outcome = std::variant<Reply, caf::error>;
    auto promised = std::make_shared<std::promise<outcome>>();
    auto answer = promised->get_future();
    in_actor([promised, target = lent->connection(), what...](auto* self) {
      const auto refused = [promised](caf::error& why) { promised->set_value(std::move(why)); };
      if constexpr (std::is_same_v<Reply, caf::unit_t>)
        self->request(target, caf::infinite, what...)
            .then([promised] { promised->set_value(caf::unit); }, refused);
      else
        self->request(target, caf::infinite, what...)
            .then([promised](const Reply& reply) { promised->set_value(reply); }, refused);
    });
    return answer;
  }
  std::future<outcome_of> begin(const loan_ptr& lent, const db::statement& what, bool in) {
    return ask_for<db::result>(lent,
                               copy_start{std::make_shared<const db::query>(db::query{what}), in});
  }
  std::string rows_of(const loan_ptr& lent) {
    auto asked = ask_for<std::string>(lent, copy_atom_v);
    BOOST_REQUIRE((asked.wait_for(patience) == std::future_status::ready));
    auto rows = asked.get();
    return std::holds_alternative<std::string>(rows) ? std::get<std::string>(rows) : "refused";
  }
  errc put(const loan_ptr& lent, const std::string& bytes) {
    auto asked = ask_for<caf::unit_t>(lent, copy_atom_v, bytes);
    BOOST_REQUIRE((asked.wait_for(patience) == std::future_status::ready));
    auto told = asked.get();
    const auto* why = std::get_if<caf::error>(&told);
    return why == nullptr ? errc::none : static_cast<errc>(why->code());
  }
  /// The loan ends; the backend of its connection serves on.
  bool comes_back(loan_ptr& lent, int backend) {
    lent.reset();
    BOOST_REQUIRE(await_until([&] { return metrics.lent == 0U; }));
    return database.value("select count(*) from pg_stat_activity where state = 'idle' and pid = "
                          + std::to_string(backend))
           == "1";
  }
  int backend_of(const loan_ptr& lent) {
    return value_of<std::int32_t>(now_on(lent, db::query{pid}));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(copies, copying)

BOOST_AUTO_TEST_CASE(a_loan_that_ends_in_the_middle_leaves_a_clean_connection) {
  start(database.url());
  auto lent = borrow();
  auto backend = backend_of(lent);
  auto ended = begin(lent, copy_in, true);
  BOOST_TEST(put(lent, "x\n") == errc::none);
  BOOST_TEST(comes_back(lent, backend));
  BOOST_TEST(code_of(wait(ended)) == errc::aborted);
  lent = borrow();
  backend = backend_of(lent);
  ended = begin(lent, some, false);
  BOOST_TEST(rows_of(lent).size() > 1000U);
  BOOST_TEST(comes_back(lent, backend));
  BOOST_TEST((ended.wait_for(patience) == std::future_status::ready));
  BOOST_TEST(counters.connections_lost == 0U);
  BOOST_TEST(database.value("select count(*) from kept") == "0");
}

BOOST_AUTO_TEST_CASE(the_server_is_told_to_end_what_nobody_reads_any_more) {
  start(database.url());
  auto lent = borrow();
  BOOST_TEST(code_of(now_on(lent, db::query{no_limit})) == errc::none);
  auto backend = backend_of(lent);
  auto ended = begin(lent, endless, false);
  BOOST_TEST(rows_of(lent).size() > 1000U);
  BOOST_TEST(comes_back(lent, backend));
  BOOST_TEST(code_of(wait(ended)) != errc::none);
  lent = borrow();
  BOOST_TEST(code_of(now_on(lent, db::query{no_limit})) == errc::none);
  backend = backend_of(lent);
  ended = begin(lent, silent, false); // no row, by which it would notice
  BOOST_REQUIRE(await_until([&] {
    return database.value("select state from pg_stat_activity where pid = "
                          + std::to_string(backend))
           == "active";
  }));
  BOOST_TEST(comes_back(lent, backend));
  BOOST_TEST(code_of(wait(ended)) != errc::none);
  BOOST_TEST(counters.connections_lost == 0U);
}

BOOST_AUTO_TEST_CASE(a_word_that_does_not_arrive_costs_the_connection) {
  auto options = options_for(database.url());
  options.clean_up_limit = 1s;
  start(options);
  loop.beside_fails = true;
  auto lent = borrow();
  const auto backend = backend_of(lent);
  auto ended = begin(lent, endless, false);
  BOOST_TEST(rows_of(lent).size() > 1000U);
  BOOST_TEST(!comes_back(lent, backend));
  BOOST_TEST(code_of(wait(ended)) == errc::unavailable);
  BOOST_TEST(this->backend() > 0);
}

BOOST_AUTO_TEST_CASE(no_statement_is_met_by_a_cancel_that_was_meant_for_the_copy_before_it) {
  start(database.url()); // of the two, one is lent at a time
  for (int round = 0; round < 200; ++round) {
    auto lent = borrow();
    // Its end, and the word to the server, come at the same time.
    auto ended = begin(lent, brief, false);
    rows_of(lent);
    lent.reset();
    lent = borrow();
    BOOST_TEST(code_of(now_on(lent, db::query{pid})) == errc::none);
    BOOST_TEST(code_of(now_on(lent, db::query{short_sleep})) == errc::none);
  }
  BOOST_TEST(counters.connections_lost == 0U);
}

BOOST_AUTO_TEST_CASE(a_server_that_is_silent_while_rows_are_asked_for_is_given_up) {
  start(database.url(), 2, 2s);
  auto lent = borrow();
  BOOST_TEST(code_of(now_on(lent, db::query{no_limit})) == errc::none);
  auto ended = begin(lent, silent, false);
  BOOST_TEST(rows_of(lent) == "refused");
  BOOST_TEST(code_of(wait(ended)) == errc::unavailable);
  BOOST_TEST(detail_of(now_on(lent, db::query{pid})).find("silent for too long")
             != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_comes_out_of_turn_is_a_conflict) {
  start(database.url());
  auto lent = borrow();
  BOOST_TEST(rows_of(lent) == "refused");
  BOOST_TEST(put(lent, "x\n") == errc::conflict);
  auto ended = begin(lent, copy_in, true);
  auto second = begin(lent, copy_in, true);
  BOOST_TEST(code_of(wait(second)) == errc::conflict);
  BOOST_TEST(code_of(now_on(lent, db::query{pid})) == errc::conflict);
  BOOST_TEST(rows_of(lent) == "refused");
  BOOST_TEST(put(lent, "x\n") == errc::none);
  auto last = ask_for<caf::unit_t>(lent, copy_atom_v, true);
  BOOST_TEST(std::get<db::result>(wait(ended)).affected() == 1U);
  BOOST_TEST(backend_of(lent) > 0);
  lent.reset();
  BOOST_TEST(await_until([&] { return metrics.lent == 0U; }));
}

BOOST_AUTO_TEST_SUITE_END()
