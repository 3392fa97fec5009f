// Operations on many jobs whose steps take long: they stop in time, and do not stand in each
// other's way.
#include "tests/db/bulk_desk.hpp"

using namespace troupe;
using namespace troupe::tests;

BOOST_FIXTURE_TEST_SUITE(slow_bulk_operations, bulk_desk)

BOOST_AUTO_TEST_CASE(a_step_that_the_server_ended_goes_behind_the_others) {
  at.enqueue_many(2);
  at.enqueue_many(2, "few");
  const auto slow = start(of_queue(bulk_action::move));
  const auto other_one = start(of_queue(bulk_action::move, "few"));
  other.begin();
  other.claim(1);
  let_wait("bulk_step(integer, integer)"); // it is ended before it gives up waiting for the claim
  at.ask(db::make_query("set statement_timeout = '1500ms'"));
  const auto ended = step();
  BOOST_TEST(ended.id == slow);
  BOOST_TEST(ended.error.find("statement timeout") != std::string::npos, ended.error);
  at.ask(db::make_query("reset statement_timeout"));
  BOOST_TEST(bulk(slow).failures == 1);
  BOOST_TEST(step().id == other_one);
  other.rollback();
  forget_failures();
  BOOST_TEST(finish_bulk(slow).changed == 2);
}

BOOST_AUTO_TEST_CASE(looks_that_take_long_are_shared_out_over_steps) {
  constexpr int part = 500; // jobs that are looked at before the clock is
  for (int i = 0; i < 4; ++i)
    at.enqueue_many(part);
  // What reading args of a megabyte costs, for jobs that have none.
  database.exec("create or replace function troupe.bulk_has_args(p_filter jsonb, p_job bigint) "
                "returns boolean language sql stable as 'select true'; "
                "create or replace function troupe.bulk_fits(p_filter jsonb, p_to_queue text, "
                "p_to_priority smallint, queue text, kind text, priority smallint, tags text[], "
                "limit_key text, created_at timestamptz) returns boolean language plpgsql volatile "
                "as $$ begin perform pg_sleep(0.0021); return true; end $$");
  const auto id = start(of_queue(bulk_action::cancel));
  BOOST_TEST(step().changed == part);
  BOOST_TEST(bulk(id).state == "running");
  const auto found = preview(of_queue(bulk_action::remove));
  BOOST_TEST(found.more);
}

BOOST_AUTO_TEST_CASE(args_that_a_list_takes_are_taken_here) {
  std::string args = "{\"a\":[1";
  while (args.size() < limits::filter_args_bytes - 4)
    args += ",1";
  const auto id = at.enqueue({.kind = "noop", .args = args + "]}"});
  bulk_request what{bulk_action::cancel};
  what.filter.args = args + "]}";
  BOOST_TEST(all_of(std::move(what)).changed == 1);
  BOOST_TEST(at.state(id) == "cancelled");
}

BOOST_AUTO_TEST_SUITE_END()
