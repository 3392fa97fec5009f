// NOTIFIER over a CONNECTION that the test answers for, and the book of what it sleeps on.
#include "actors/notifier.hpp"
#include "db/statements.hpp"
#include "db/wire.hpp"
#include "tests/actors/pool_doubles.hpp"

#include <libpq-fe.h>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;
using texts = std::vector<std::string>;
using nap = db::sleep_state;

namespace {

struct booked {
  sleep_book book;
  sleep_book::time_point now{1h};
  std::minstd_rand random{1};

  void pass(std::chrono::milliseconds time) { now += time; }
  void idle(const std::string& queue, bool fruitful = false) { book.idle(queue, fruitful, now); }
  void told(const std::string& queue) { book.told(queue, now); }
  db::sleep_request next() { return book.next(now); }
  texts answer(std::vector<db::slept> said) { return book.answered(said, now, random); }
  /// It was found idle, and sleeps.
  void asleep(const std::string& queue) {
    idle(queue);
    BOOST_TEST(next().sleep == texts{queue}, boost::test_tools::per_element());
    answer({{queue, nap::asleep}});
    BOOST_TEST(book.sleeps_on(queue));
    BOOST_TEST(!book.due(now).has_value());
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(sleeping, booked)

BOOST_AUTO_TEST_CASE(an_idle_queue_is_slept_on_and_costs_nothing_more) {
  asleep("a");
  for (int i = 0; i < 10; ++i) {
    pass(10s);
    told("a");
    BOOST_TEST(!book.due(now).has_value());
    if (i % 2 == 0) {
      pass(1ms);
      idle("a", true);
      BOOST_TEST(next().again == texts{"a"}, boost::test_tools::per_element()); // once in a while
      answer({{"a", nap::asleep}});
    } else {
      pass(1ms);
      idle("a");
      next();
      answer({{"a", nap::asleep}});
    }
  }
  pass(1ms);
  told("a");
  pass(1ms);
  idle("a", true);
  BOOST_TEST(next().empty());
}

BOOST_AUTO_TEST_CASE(while_a_writer_is_in_the_way_it_looks_again_less_and_less_often) {
  idle("a");
  next();
  auto last = 0ns;
  for (int i = 0; i < 20; ++i) {
    answer({{"a", nap::uneasy}});
    BOOST_TEST(book.sleeps_on("a"));
    const auto pause = book.due(now).value() - now;
    BOOST_TEST((pause > 0ns && pause <= 1250ms));
    if (i >= 12)
      BOOST_TEST((pause >= 750ms));
    if (i < 5)
      BOOST_TEST((pause > last));
    last = pause;
    BOOST_TEST(next().empty());
    now += pause;
    BOOST_TEST(next().again == texts{"a"}, boost::test_tools::per_element());
  }
  answer({{"a", nap::asleep}});
  BOOST_TEST(!book.due(now).has_value());
}

BOOST_AUTO_TEST_CASE(where_it_finds_work_it_does_not_sleep_but_soon_tries_again) {
  idle("a");
  next();
  BOOST_TEST(answer({{"a", nap::work}}) == texts{"a"}, boost::test_tools::per_element());
  BOOST_TEST(!book.sleeps_on("a"));
  pass(10ms);
  idle("a", true); // it has taken that work
  BOOST_TEST(next().sleep == texts{"a"}, boost::test_tools::per_element());
  answer({{"a", nap::work}});
  pass(10ms);
  idle("a"); // it may not have that work
  BOOST_TEST(next().empty());
  pass(1s);
  BOOST_TEST(next().sleep == texts{"a"}, boost::test_tools::per_element());
  BOOST_TEST(answer({{"a", nap::held}}) == texts{}, boost::test_tools::per_element());
  BOOST_TEST(!book.sleeps_on("a"));
  pass(1s);
  BOOST_TEST(next().sleep == texts{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(told_all_the_time_without_being_idle_it_is_awake) {
  asleep("a");
  for (int i = 0; i < 200; i += 10) {
    told("a");
    BOOST_TEST(next().empty());
    pass(10ms);
  }
  told("a");
  BOOST_TEST(next().awake == texts{"a"}, boost::test_tools::per_element());
  BOOST_TEST(!book.sleeps_on("a"));
  told("a");
  BOOST_TEST(next().empty());
  asleep("a"); // until it is idle again
}

BOOST_AUTO_TEST_CASE(in_between_two_idle_moments_it_may_be_told_for_long) {
  asleep("a");
  for (int i = 0; i < 100; ++i) {
    told("a");
    pass(50ms);
    idle("a", true);
    if (auto ask = next(); !ask.empty()) {
      BOOST_TEST(ask.again == texts{"a"}, boost::test_tools::per_element());
      answer({{"a", nap::asleep}});
    }
  }
  BOOST_TEST(book.sleeps_on("a"));
}

BOOST_AUTO_TEST_CASE(of_too_many_queues_it_sleeps_on_those_that_were_idle_last) {
  const auto name = [](std::size_t i) { return "q" + std::to_string(i); };
  for (std::size_t i = 0; i < sleep_book::max_queues; ++i) {
    asleep(name(i));
    pass(1ms);
  }
  asleep(name(sleep_book::max_queues));
  BOOST_TEST(book.size() == sleep_book::max_queues);
  BOOST_TEST(!book.sleeps_on(name(0)));
  BOOST_TEST(book.sleeps_on(name(1)));
  idle("one more");
  const auto ask = next();
  BOOST_TEST(ask.awake == texts{name(1)}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// Columns of text, in one row for each of `rows`.
db::result table(const db::statement& of, const std::vector<unsigned>& types,
                 const std::vector<texts>& rows) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "column";
  std::vector<PGresAttDesc> columns;
  for (const auto type : types)
    columns.push_back({name.data(), 0, 0, 1, type, -1, -1});
  PQsetResultAttrs(raw, static_cast<int>(columns.size()), columns.data());
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows[i].size(); ++j) {
      auto value = rows[i][j];
      PQsetvalue(raw, static_cast<int>(i), static_cast<int>(j), value.data(),
                 static_cast<int>(value.size()));
    }
  return {raw, db::not_owned(of)};
}

std::string bytes_of(std::int16_t value) {
  std::string out;
  db::wire::append_int(out, value);
  return out;
}

db::result queues(const texts& names) {
  std::string array;
  const auto count = static_cast<std::int32_t>(names.size());
  for (const std::int32_t word :
       {names.empty() ? 0 : 1, 0, static_cast<std::int32_t>(db::oid::text)})
    db::wire::append_int(array, word);
  if (!names.empty()) {
    db::wire::append_int(array, count);
    db::wire::append_int(array, std::int32_t{1});
  }
  for (const auto& one : names) {
    db::wire::append_int(array, static_cast<std::int32_t>(one.size()));
    array += one;
  }
  return table(db::sql::wake_recent, {db::oid::text_array}, {{array}});
}

db::result naps(const std::vector<db::slept>& all) {
  std::vector<texts> rows;
  for (const auto& one : all)
    rows.push_back({one.queue, bytes_of(static_cast<std::int16_t>(one.state))});
  return table(db::sql::wake_sleep, {db::oid::text, db::oid::int2}, rows);
}

pulse_actor::behavior_type pulse_double(pulse_actor::pointer,
                                        std::shared_ptr<std::vector<node_id>> beats) {
  return {[](tick_atom, std::uint64_t) {}, [=](beat_atom, node_id node) { beats->push_back(node); },
          [](drain_atom) {}};
}

struct notifying : listening_system {
  std::vector<std::shared_ptr<connection_notes>> made;
  std::shared_ptr<std::vector<node_id>> beats = std::make_shared<std::vector<node_id>>();
  notifier_impl one;

  notifying() {
    const listening_maker make = [this](notifier_impl::pointer self, connection_config wanted) {
      auto fresh = std::make_shared<connection_notes>();
      fresh->config = std::move(wanted);
      fresh->actor = self->spawn<caf::monitored>(connection_double, fresh);
      made.push_back(fresh);
      return fresh->actor;
    };
    const notifier_peers peers{told_executor, told_scheduler, spawn(pulse_double, beats)};
    one = spawn(notifier_with, notifier_options{}, peers, static_cast<io_loop*>(nullptr), &counters,
                make);
    run();
  }
  ~notifying() {
    for (auto& each : made) {
      each->queries.clear();
      each->config.pool = nullptr;
      each->config.listener = nullptr;
    }
  }
  connection_notes& last() {
    BOOST_REQUIRE(!made.empty());
    return *made.back();
  }
  void inside_last(std::function<void()> what) {
    caf::anon_send(caf::actor_cast<connection_double_impl>(last().actor),
                   std::make_shared<std::function<void()>>(std::move(what)));
    run();
  }
  /// The oldest question, which has to be this statement.
  template<class Answer>
  void answer_to(const db::statement& what, Answer rows) {
    auto asked = made.back();
    BOOST_REQUIRE(!asked->queries.empty());
    BOOST_TEST(asked->names.at(asked->names.size() - asked->queries.size()) == what.name);
    inside_last([asked, rows]() mutable {
      asked->queries.front().deliver(std::move(rows));
      asked->queries.pop_front();
    });
  }
  void up() {
    caf::anon_send(last().config.pool, up_atom_v, last().config.id);
    run();
  }
  void listen(const texts& known = {}) {
    up();
    answer_to(db::sql::wake_listen, db::result{});
    answer_to(db::sql::wake_recent, queues(known));
  }
  void note(const std::string& payload) {
    caf::anon_send(last().config.listener, db::notification{"troupe", payload});
    run();
  }
  void lose() {
    caf::anon_send(last().config.pool, lost_atom_v, last().config.id,
                   make_error(errc::unavailable, "gone"));
    run();
  }
  void idle(const std::string& queue, bool fruitful = false) {
    caf::anon_send(one, idle_atom_v, queue, fruitful);
    run();
  }
  std::size_t open() { return last().queries.size(); }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(listening, notifying)

BOOST_AUTO_TEST_CASE(once_it_listens_everybody_looks_once) {
  BOOST_TEST(counters.listening == 0U);
  up();
  BOOST_TEST(counters.listening == 0U);
  BOOST_TEST(beats->empty());
  answer_to(db::sql::wake_listen, db::result{});
  BOOST_TEST(counters.listening == 1U);
  BOOST_TEST(*beats == std::vector{node_id{}}, boost::test_tools::per_element());
  answer_to(db::sql::wake_recent, queues({"a", "b"}));
  BOOST_TEST(notes->wakes == (texts{"a", "b"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_it_hears_reaches_those_it_concerns) {
  listen();
  beats->clear();
  note("wake mail");
  note("due 350");
  note("beat 7");
  note("beat");
  note("something of a later version");
  BOOST_TEST(notes->wakes == texts{"mail"}, boost::test_tools::per_element());
  BOOST_REQUIRE(dues->size() == 1U);
  BOOST_TEST((dues->front() == caf::timespan{350ms}));
  BOOST_TEST(*beats == (std::vector{node_id{7}, node_id{}}), boost::test_tools::per_element());
  BOOST_TEST(counters.notifications == 4U);
}

BOOST_AUTO_TEST_CASE(revocations_and_what_may_have_been_missed_are_counted) {
  BOOST_TEST(counters.token_changes == 0U);
  listen();
  BOOST_TEST(counters.token_changes == 1U);
  note("token 7");
  BOOST_TEST(counters.token_changes == 2U);
  BOOST_TEST(notes->wakes.empty());
  note("token x");
  note("wake mail");
  BOOST_TEST(counters.token_changes == 2U);
  lose();
  BOOST_TEST(counters.token_changes == 3U);
}

BOOST_AUTO_TEST_CASE(it_sleeps_on_what_is_idle_with_one_question_at_a_time) {
  idle("too early"); // everything is looked at when it listens
  listen();
  idle("a");
  idle("b");
  idle("c");
  BOOST_TEST(open() == 1U);
  answer_to(db::sql::wake_sleep, naps({{"a", nap::work}}));
  BOOST_TEST(notes->wakes == texts{"a"}, boost::test_tools::per_element());
  BOOST_TEST(open() == 1U);
  answer_to(db::sql::wake_sleep, naps({{"b", nap::asleep}, {"c", nap::uneasy}}));
  BOOST_TEST(open() == 0U);
  advance(10ms);
  BOOST_TEST(open() == 1U);
  answer_to(db::sql::wake_sleep, naps({{"c", nap::asleep}}));
  advance(990ms);
  BOOST_TEST(open() == 1U); // "a" once more
  answer_to(db::sql::wake_sleep, naps({{"a", nap::asleep}}));
  advance(5s);
  BOOST_TEST(open() == 0U);
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_lost_is_made_anew_and_everybody_looks_again) {
  listen({"a"});
  idle("a");
  answer_to(db::sql::wake_sleep, naps({{"a", nap::asleep}}));
  const auto first = made.back();
  lose();
  BOOST_TEST(ended(first->actor));
  BOOST_TEST(counters.listening == 0U);
  BOOST_TEST(counters.notifier_reconnects == 1U);
  BOOST_TEST(made.size() == 1U);
  advance(150ms);
  BOOST_REQUIRE(made.size() == 2U);
  notes->wakes.clear();
  beats->clear();
  listen({"a"});
  BOOST_TEST(notes->wakes == texts{"a"}, boost::test_tools::per_element());
  BOOST_TEST(beats->size() == 1U);
  idle("a"); // the new session does not sleep there yet
  BOOST_TEST(open() == 1U);
  caf::anon_send(first->config.pool, lost_atom_v, first->config.id,
                 make_error(errc::unavailable, "old news"));
  run();
  BOOST_TEST(counters.listening == 1U);
}

BOOST_AUTO_TEST_CASE(without_a_server_it_tries_less_and_less_often_and_never_gives_up) {
  std::size_t before = made.size();
  for (int i = 0; i < 20; ++i) {
    caf::anon_send(caf::actor_cast<connection_double_impl>(last().actor),
                   make_error(errc::unavailable, "no server"));
    run();
    advance(2500ms);
    BOOST_TEST(made.size() == ++before);
  }
  BOOST_TEST(counters.notifier_reconnects == 0U);
  listen();
  BOOST_TEST(counters.listening == 1U);
}

BOOST_AUTO_TEST_CASE(a_refusal_ends_the_session_for_nobody_knows_what_it_holds) {
  listen();
  idle("a");
  answer_to(db::sql::wake_sleep, make_error(errc::timed_out, "too slow"));
  BOOST_TEST(counters.listening == 0U);
  advance(150ms);
  BOOST_TEST(made.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_silent_connection_is_tried_once_in_a_while) {
  listen();
  advance(9990ms);
  BOOST_TEST(open() == 0U);
  advance(20ms);
  answer_to(db::sql::session_ping, db::result{});
  BOOST_TEST(counters.listening == 1U);
  advance(10s);
  answer_to(db::sql::session_ping, make_error(errc::unavailable, "silent for too long"));
  BOOST_TEST(counters.listening == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
