// A COPY in a UNIT OF WORK, in virtual time: its steps, what is refused meanwhile, and its ends.
#include "tests/actors/unit_of_work_fixture.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

using cause = database_metrics::rollback_cause;
using kind = db::copy_step::kind;

namespace {

const db::statement copy_statement{"copy", "copy t from stdin"};

struct copying : working {
  int begun = 0;

  /// The transaction is open and the connection has the COPY.
  void begin(bool in) {
    begun = ask(db::copy_rows{db::query{copy_statement}, in, 1});
    run();
    BOOST_TEST(sent() == "transaction_begin timeout_set");
    carry_out();
    BOOST_TEST(out->copies.size() == 1U);
  }
  int step(kind what, std::string bytes = {}, std::uint64_t number = 1) {
    const int call = ask(db::copy_step{number, what, std::move(bytes)});
    run();
    return call;
  }
  void take_put() {
    inside([this] {
      out->puts.front().deliver(caf::unit);
      out->puts.pop_front();
    });
  }
  void give_rows(std::string rows) {
    inside([this, rows = std::move(rows)] {
      out->chunks.front().deliver(rows);
      out->chunks.pop_front();
    });
  }
  template<class How>
  void end(How how) {
    inside([this, how] {
      out->copies.front().deliver(how);
      out->copies.pop_front();
    });
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(copies_in_units_of_work, copying)

BOOST_AUTO_TEST_CASE(puts_go_one_at_a_time_and_the_end_goes_behind_them) {
  begin(true);
  const int first = step(kind::put, "a");
  const int second = step(kind::put, "b");
  const int last = step(kind::end);
  BOOST_TEST(out->steps == "in a");
  BOOST_TEST(!has(first));
  take_put();
  BOOST_TEST(code(first) == errc::none);
  take_put();
  BOOST_TEST(code(second) == errc::none);
  BOOST_TEST(out->steps == "in a b end");
  BOOST_TEST(!has(begun));
  end(db::result{});
  BOOST_TEST(code(begun) == errc::none);
  BOOST_TEST(code(last) == errc::conflict); // over; its session knows how
  BOOST_TEST(sent() == "timeout_restore transaction_id");
}

BOOST_AUTO_TEST_CASE(rows_are_asked_for_one_chunk_at_a_time) {
  begin(false);
  const int first = step(kind::next);
  const int second = step(kind::next);
  BOOST_TEST(out->steps == "out next");
  give_rows("1\n");
  BOOST_TEST(std::get<std::string>(std::get<db::work_reply>(answers.at(first).outcome)) == "1\n");
  BOOST_TEST(out->steps == "out next next");
  end(db::result{});
  BOOST_TEST(code(second) == errc::conflict);
  give_rows(""); // too late, and harmless
  BOOST_TEST(answers.size() == 3U);
}

BOOST_AUTO_TEST_CASE(meanwhile_marks_are_taken_and_all_else_is_refused) {
  begin(true);
  add();
  const int asked_too = ask(query());
  const int committed = ask(db::commit_work{});
  const int other = ask(db::copy_rows{db::query{copy_statement}, true, 2});
  run();
  for (const int call : {asked_too, committed, other})
    BOOST_TEST(code(call) == errc::conflict);
  BOOST_TEST(code(step(kind::put, "x", 2)) == errc::conflict);
  const int last = ask(db::copy_step{1, kind::end});
  const int waits = ask(db::commit_work{}); // asked behind the end
  run();
  BOOST_TEST(!has(waits));
  end(db::result{});
  BOOST_TEST(has(last));
  carry_out();
  BOOST_TEST(code(waits) == errc::none);
  BOOST_TEST(counters.jobs_enqueued == 1U);
}

BOOST_AUTO_TEST_CASE(a_cancel_does_not_wait_for_a_put_that_is_stuck) {
  begin(true);
  const int stuck = step(kind::put, "a");
  step(kind::put, "b");
  step(kind::cancel);
  BOOST_TEST(out->steps == "in a cancel");
  end(make_error(errc::aborted, "the COPY was cancelled"));
  BOOST_TEST(code(begun) == errc::aborted);
  BOOST_TEST(code(stuck) == errc::conflict);
  BOOST_TEST(answers.size() == 4U);
  BOOST_TEST(out_now() == 0);
}

BOOST_AUTO_TEST_CASE(a_rollback_cancels_and_follows) {
  begin(false);
  step(kind::next);
  const int back = ask(db::rollback_work{});
  run();
  BOOST_TEST(out->steps == "out next cancel");
  BOOST_TEST(!has(back));
  end(db::result{});
  carry_out(); // the time limit
  carry_out();
  BOOST_TEST(code(back) == errc::none);
  BOOST_TEST(out_now() == 0);
}

BOOST_AUTO_TEST_CASE(what_failed_before_it_keeps_it_from_beginning) {
  const int failed = ask(query());
  begun = ask(db::copy_rows{db::query{copy_statement}, true, 1});
  const int put = ask(db::copy_step{1, kind::put, "a"});
  run();
  carry_out(1);
  BOOST_TEST(code(failed) == errc::database);
  BOOST_TEST(code(begun) == errc::aborted);
  BOOST_TEST(code(put) == errc::conflict);
  BOOST_TEST(out->steps.empty());
  BOOST_TEST(out_now() == 0);
}

BOOST_AUTO_TEST_CASE(whoever_asks_nothing_is_ended_and_whoever_waits_is_not) {
  begin(false);
  const int waits = step(kind::next);
  advance(60s, 100ms);
  BOOST_TEST(out_now() == 1);
  give_rows("1\n");
  BOOST_TEST(code(waits) == errc::none);
  advance(29s, 100ms);
  BOOST_TEST(out_now() == 1);
  advance(2s, 100ms);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(code(begun) == errc::aborted);
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
}

BOOST_AUTO_TEST_CASE(too_much_that_waits_cancels) {
  begin(true);
  step(kind::put, "a");
  int last = 0;
  for (std::size_t i = 0; i <= unit_of_work_state::max_copy_steps; ++i)
    last = step(kind::put, "b");
  BOOST_TEST(code(last) == errc::overloaded);
  BOOST_TEST(out->steps == "in a cancel");
  end(make_error(errc::aborted, "the COPY was cancelled"));
  BOOST_TEST(answers.size() == unit_of_work_state::max_copy_steps + 3);
}

BOOST_AUTO_TEST_CASE(one_whose_session_goes_gives_the_connection_back_in_the_middle_of_it) {
  begin(false);
  const int next = step(kind::next);
  caf::anon_send(unit, halt_atom_v);
  run();
  BOOST_TEST(out->steps == "out next"); // who lends it ends the COPY, and the server's work on it
  for (const int call : {begun, next})
    BOOST_TEST(code(call) == errc::stopping);
  BOOST_TEST(out_now() == 0);
  BOOST_TEST(rollbacks(cause::abandoned) == 1U);
}

BOOST_AUTO_TEST_CASE(a_unit_that_is_killed_answers_all_of_it) {
  begin(true);
  const int put = step(kind::put, "a");
  const int next = step(kind::put, "b");
  caf::anon_send_exit(unit, caf::exit_reason::kill);
  run();
  for (const int call : {begun, put, next})
    BOOST_TEST(code(call) == errc::stopping);
  BOOST_TEST(out_now() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
