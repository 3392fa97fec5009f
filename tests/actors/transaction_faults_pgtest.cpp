// Transactions in trouble, while others write: commits whose answer is lost, deadlocks, statements
// that take too long, sessions that nobody ends. What was told is compared with the tables.
#include "tests/actors/trouble.hpp"
#include "tests/support/printing.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

const db::statement add_one{"add_one", "update account set amount = amount + 1 where id = $1"};
const db::statement dawdle{"dawdle", "select pg_sleep(60)"};
const db::statement break_off{"break_off", "select 1 / 0"};

/// Adds one to two accounts, in the order of its own, and records its key with them.
class lock_crosser : public tests::asker {
public:
  lock_crosser(unit_of_work_actor unit, std::shared_ptr<ledger> book,
               std::shared_ptr<std::atomic<bool>> ending, std::int64_t first)
      : asker(std::move(unit), std::move(book)), ending_(std::move(ending)), first_(first) {}

  void run() {
    if (ending_->load())
      return forget();
    key_ = book()->next_key();
    add_to(first_, 1, [this](errc code) {
      if (code != errc::none)
        return give_up(code);
      add_to(3 - first_, 2, [this](errc later) {
        if (later != errc::none)
          return give_up(later);
        ask(db::commit_work{}, [this](errc last) {
          if (last != errc::none)
            return give_up(last);
          book()->acknowledged(key_);
          run();
        });
      });
    });
  }

private:
  void add_to(std::int64_t account, std::int64_t half, answered then) {
    ask(db::run_query{db::query{add_one}.bind(account)},
        [this, half, then = std::move(then)](errc code) {
          if (code != errc::none)
            return then(code);
          ask(db::run_query{db::query{insert_step}.bind(key_).bind(half)}, then);
        });
  }
  void give_up(errc code) {
    book()->failed(key_, code);
    ask(db::rollback_work{}, [this](errc late) {
      if (late != errc::stopping)
        run();
    });
  }

  std::shared_ptr<std::atomic<bool>> ending_;
  std::int64_t first_;
  std::int64_t key_ = 0;
};

/// A session of the test's own; its keys are negative, the writers' are positive.
struct by_hand {
  explicit by_hand(unit_of_work_actor to)
      : unit(std::move(to)),
        questions(std::make_shared<tests::asker>(unit, std::make_shared<ledger>())) {}

  errc now(db::work_request what) {
    auto code = std::make_shared<std::atomic<errc>>(errc::none);
    auto done = std::make_shared<event_counter>();
    questions->ask(std::move(what), [code, done](const work_answer& told) {
      if (const auto* why = std::get_if<failure>(&told.outcome))
        *code = why->code;
      done->add();
    });
    BOOST_REQUIRE(done->await(1));
    return *code;
  }
  /// The only value of the only row.
  std::string text(db::query what) {
    auto value = std::make_shared<std::string>();
    auto done = std::make_shared<event_counter>();
    questions->ask(db::run_query{std::move(what)}, [value, done](const work_answer& told) {
      if (const auto* reply = std::get_if<db::work_reply>(&told.outcome))
        *value = std::get<db::result>(*reply).one().get<std::optional<std::string>>(0).value_or("");
      done->add();
    });
    BOOST_REQUIRE(done->await(1));
    return *value;
  }
  errc insert(std::int64_t key) {
    return now(db::run_query{db::query{insert_step}.bind(key).bind(std::int64_t{1})});
  }

  unit_of_work_actor unit;
  std::shared_ptr<tests::asker> questions;
};

struct transactions_in_trouble : trouble {
  /// Others hold the connections, and what is expected of a session is not that it was refused one.
  transactions_in_trouble() { acquire_timeout = 20s; }
  std::string own_keys() const {
    return server.value("select coalesce(string_agg(key::text, ',' order by key desc), '') from "
                        "steps where key < 0");
  }
  void forget_own() { server.exec("delete from steps where key < 0"); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(transaction_faults, transactions_in_trouble)

BOOST_AUTO_TEST_CASE(a_commit_whose_answer_is_lost_is_looked_up_and_told_as_it_was) {
  start(proxy.url("postgres"));
  for (int i = 0; i < 4; ++i)
    write_in_transactions(stepwise, insert_step, true);
  BOOST_REQUIRE(await_until([&] { return everybody_wrote(1); }));
  for (int i = 1; i <= 20; ++i) {
    proxy.lose_answer_to("transaction_commit");
    BOOST_REQUIRE(await_until([&] { return proxy.lost_answers() >= i; }));
  }
  expect_recovery();
  BOOST_TEST(lookups() >= 20U);
}

BOOST_AUTO_TEST_CASE(transactions_that_lock_in_opposite_order_are_undone_whole_or_committed) {
  server.exec("alter system set deadlock_timeout = '20ms'");
  server.exec("select pg_reload_conf()");
  server.exec("create table account (id bigint primary key, amount bigint not null)");
  server.exec("insert into account values (1, 0), (2, 0)");
  start(server.url());
  write_singly();
  for (int i = 0; i < 8; ++i) {
    auto unit = open();
    stepwise.members.push_back(caf::actor_cast<caf::actor>(unit));
    std::make_shared<lock_crosser>(unit, stepwise.book, ending, i % 2 + 1)->run();
  }
  BOOST_REQUIRE(await_until([&] { return stepwise.book->told(errc::retry) >= 30; }));
  expect_answered();
  // A statement may also run out of its time while the machine has other things to do.
  BOOST_TEST(stepwise.book->refused()
             == static_cast<std::size_t>(stepwise.book->told(errc::retry)
                                         + stepwise.book->told(errc::timed_out)));
  BOOST_TEST(server.value("select string_agg(amount::text, ',') from account")
             == std::to_string(stepwise.book->acknowledged()) + ","
                    + std::to_string(stepwise.book->acknowledged()));
}

BOOST_AUTO_TEST_CASE(a_statement_that_takes_too_long_undoes_its_savepoint_or_its_transaction) {
  begin(server.url());
  const auto too_long = db::run_query{db::query{dawdle}.timeout(100ms)};
  for (int i = 0; i < 10; ++i) {
    by_hand session{open()};
    BOOST_TEST(session.insert(-1) == errc::none);
    BOOST_TEST(session.now(db::set_savepoint{"risky"}) == errc::none);
    BOOST_TEST(session.insert(-2) == errc::none);
    BOOST_TEST(session.now(too_long) == errc::timed_out);
    BOOST_TEST(session.insert(-3) == errc::none);
    BOOST_TEST(session.now(db::commit_work{}) == errc::none);
    BOOST_TEST(own_keys() == "-1,-3");
    forget_own();
    BOOST_TEST(session.insert(-4) == errc::none);
    BOOST_TEST(session.now(too_long) == errc::timed_out);
    BOOST_TEST(session.insert(-5) == errc::aborted);
    BOOST_TEST(session.now(db::commit_work{}) == errc::aborted);
    BOOST_TEST(own_keys() == "");
    BOOST_TEST(session.now(db::rollback_work{}) == errc::none);
    BOOST_TEST(session.insert(-6) == errc::none);
    BOOST_TEST(session.now(db::rollback_work{}) == errc::none);
    BOOST_TEST(own_keys() == "");
    session.questions->forget();
  }
  expect_recovery();
}

BOOST_AUTO_TEST_CASE(a_session_that_is_forgotten_or_killed_leaves_nothing_behind) {
  begin(server.url());
  for (int i = 0; i < 40; ++i) {
    by_hand session{open()};
    BOOST_TEST(session.insert(-1 - i) == errc::none);
    if (i % 4 == 1)
      BOOST_TEST(session.now(db::run_query{db::query{break_off}}) == errc::invalid_argument);
    if (i % 4 == 2)
      session.questions->ask(db::run_query{db::query{dawdle}}); // on its way when the unit dies
    if (i % 2 == 0)
      caf::anon_send_exit(session.unit, caf::exit_reason::kill);
    else
      session.questions->forget();
  }
  expect_recovery();
  BOOST_TEST(own_keys() == "");
}

BOOST_AUTO_TEST_CASE(a_session_whose_server_crashes_before_the_commit_is_told_so) {
  begin(server.url());
  for (int i = 0; i < 3; ++i) {
    by_hand session{open()};
    BOOST_TEST(session.insert(-1) == errc::none);
    crash();
    const auto told = session.now(db::commit_work{});
    BOOST_TEST((told == errc::aborted || told == errc::unavailable));
    BOOST_TEST(session.now(db::rollback_work{}) == errc::none);
    session.questions->forget();
  }
  expect_recovery();
  BOOST_TEST(own_keys() == "");
}

BOOST_AUTO_TEST_CASE(a_transaction_number_that_a_crash_gave_away_is_not_told_as_committed) {
  server.exec("alter system set wal_writer_delay = '10s'");
  server.exec("select pg_reload_conf()");
  start(server.url());
  by_hand session{open()};
  const auto status = [&](const std::string& number) {
    by_hand another{open()};
    const auto fate = another.text(db::query{db::sql::transaction_status}.bind(number));
    another.questions->forget();
    return fate;
  };
  BOOST_TEST(session.insert(-1) == errc::none);
  const auto kept = session.text(db::query{db::sql::transaction_id});
  BOOST_TEST(status(kept) == "in progress");
  BOOST_TEST(session.now(db::commit_work{}) == errc::none);
  BOOST_TEST(status(kept) == "committed");
  session.questions->forget();
  std::string forgotten;
  // What the server writes to its log every ten seconds it does not forget: then once more.
  BOOST_TEST(await_until([&] {
    by_hand doomed{open()};
    BOOST_TEST(doomed.insert(-2) == errc::none);
    forgotten = doomed.text(db::query{db::sql::transaction_id});
    crash();
    BOOST_TEST(status(forgotten) == "aborted");
    doomed.questions->forget();
    const auto number = forgotten.substr(0, forgotten.find('@'));
    while (std::stoul(server.value("select pg_current_xact_id()")) < std::stoul(number)) {
    }
    return server.value("select pg_xact_status('" + number + "')") == "committed";
  }));
  BOOST_TEST(status(forgotten) == "not told");
  BOOST_TEST(own_keys() == "-1");
  expect_nothing_left();
}

BOOST_AUTO_TEST_SUITE_END()
