// Groups of statements that share one sync: who is answered with what when one of them fails, and
// how the transaction block is followed.
#include "tests/db/pipeline_events.hpp"

#include <boost/test/unit_test.hpp>

using troupe::errc;
using namespace troupe::db;
using namespace troupe::tests;

BOOST_AUTO_TEST_CASE(a_group_is_answered_at_its_sync_and_not_before) {
  pipeline pipe;
  pipe.enter(begin, sync_point::later);
  pipe.enter(alpha, sync_point::later);
  BOOST_TEST(pipe.group_open());
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(done(begin, "BEGIN")));
  BOOST_TEST(!pipe.on_sync());
  pipe.close_group();
  BOOST_TEST(!pipe.group_open());
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(rows_with(alpha, 7)));
  BOOST_TEST(told(pipe) == "nothing");
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(told(pipe) == "BEGIN");
  BOOST_TEST(told(pipe) == "7");
  BOOST_TEST((pipe.block() == block_state::open));
}

BOOST_AUTO_TEST_CASE(inside_a_block_an_error_leaves_earlier_answers_and_aborts_later_ones) {
  pipeline pipe;
  pipe.enter(begin, sync_point::later);
  pipe.enter(alpha, sync_point::later);
  pipe.enter(beta, sync_point::later);
  pipe.enter(gamma_, sync_point::later);
  pipe.enter(commit);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(done(begin, "BEGIN")));
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(rows_with(alpha, 7)));
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_error(failure_with("division by zero", errc::invalid_argument)));
  for (int skipped = 0; skipped < 4; ++skipped)
    BOOST_TEST(pipe.on_aborted());
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST((pipe.block() == block_state::failed));
  BOOST_TEST(told(pipe) == "BEGIN");
  BOOST_TEST(told(pipe) == "7");
  BOOST_TEST(told(pipe) == "division by zero");
  auto third = pipe.next();
  BOOST_REQUIRE(third.has_value());
  const auto& why = std::get<db_failure>(third->outcome);
  BOOST_TEST((why.code == errc::aborted));
  BOOST_TEST(why.statement == "gamma");
  BOOST_TEST(why.message == "an earlier statement of the same group failed: division by zero");
  BOOST_TEST(told(pipe) == "aborted");
  // What was skipped was never parsed.
  BOOST_TEST(pipe.enter(gamma_).prepare);
}

BOOST_AUTO_TEST_CASE(what_a_commit_of_the_group_has_settled_is_not_undone_by_a_later_error) {
  pipeline pipe;
  for (const auto* each : {&alpha, &begin, &beta, &commit, &gamma_})
    pipe.enter(*each, sync_point::later);
  pipe.enter(alpha);
  auto goes_well = [&pipe](const result& answer) {
    BOOST_TEST(pipe.on_result({}));
    BOOST_TEST(pipe.on_result(answer));
  };
  goes_well(rows_with(alpha, 1));
  goes_well(done(begin, "BEGIN"));
  goes_well(rows_with(beta, 2));
  goes_well(done(commit, "COMMIT"));
  goes_well(rows_with(gamma_, 3));
  BOOST_TEST(pipe.on_error(failure_with("no")));
  BOOST_TEST(pipe.on_sync());
  for (const char* answer : {"1", "BEGIN", "2", "COMMIT", "aborted", "no"})
    BOOST_TEST(told(pipe) == answer);
}

BOOST_AUTO_TEST_CASE(the_block_is_followed_while_the_server_is_not_asked) {
  static const statement back{"back", "-- to the last one\n rollback to savepoint s"};
  static const statement end{"end", "rollback"};
  pipeline pipe;
  auto after = [&pipe](const statement& what, const char* tag) {
    auto order = pipe.enter(what);
    if (order.prepare)
      BOOST_REQUIRE(pipe.on_result({}));
    BOOST_REQUIRE(*tag ? pipe.on_result(done(what, tag)) : pipe.on_error(failure_with("no")));
    BOOST_REQUIRE(pipe.on_sync());
    return pipe.block();
  };
  BOOST_TEST((after(alpha, "SELECT 1") == block_state::none));
  BOOST_TEST((after(alpha, "") == block_state::none));
  BOOST_TEST((after(begin, "BEGIN") == block_state::open));
  BOOST_TEST((after(alpha, "") == block_state::failed));
  BOOST_TEST((after(back, "ROLLBACK") == block_state::open));
  BOOST_TEST((after(alpha, "SELECT 1") == block_state::open));
  BOOST_TEST((after(commit, "COMMIT") == block_state::none));
  BOOST_TEST((after(begin, "BEGIN") == block_state::open));
  BOOST_TEST((after(end, "ROLLBACK") == block_state::none));
  after(begin, "BEGIN");
  BOOST_TEST((after(commit, "") == block_state::none));
  // The server's own word counts more.
  pipe.enter(alpha);
  BOOST_TEST(pipe.on_result(done(alpha, "SELECT 1")));
  BOOST_TEST(pipe.on_sync(block_state::open));
  BOOST_TEST((pipe.block() == block_state::open));
}

BOOST_AUTO_TEST_CASE(a_statement_in_an_aborted_block_is_told_what_aborted_it) {
  pipeline pipe;
  pipe.enter(begin);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(done(begin, "BEGIN")));
  BOOST_TEST(pipe.on_sync());
  pipe.enter(alpha);
  pipe.enter(beta);
  BOOST_TEST(pipe.on_error(failure_with("division by zero")));
  BOOST_TEST(pipe.on_aborted());
  BOOST_TEST(pipe.on_sync());
  auto aborted = failure_with("the transaction is aborted", errc::aborted);
  aborted.sqlstate = "25P02";
  BOOST_TEST(pipe.on_error(aborted));
  BOOST_TEST(pipe.on_aborted());
  BOOST_TEST(pipe.on_sync());
  pipe.next();
  pipe.next();
  auto second = pipe.next();
  BOOST_TEST(std::get<db_failure>(second->outcome).message
             == "the transaction is aborted (it failed with: division by zero)");
}

BOOST_AUTO_TEST_CASE(a_refused_statement_takes_the_rest_of_its_group_with_it) {
  pipeline pipe{2};
  pipe.enter(begin, sync_point::later);
  pipe.refuse(failure_with("too large"), sync_point::later);
  BOOST_REQUIRE(pipe.refusing());
  BOOST_TEST((pipe.refusing()->code == errc::aborted));
  pipe.refuse(*pipe.refusing(), sync_point::now);
  BOOST_TEST(!pipe.refusing());
  BOOST_TEST(pipe.group_open()); // the caller closes it
  BOOST_TEST(told(pipe) == "too large");
  BOOST_TEST(told(pipe) == "aborted");
}

BOOST_AUTO_TEST_CASE(another_number_of_changed_rows_than_expected_is_stale) {
  pipeline pipe;
  for (std::uint64_t expected : {1U, 1U, 0U}) {
    pipe.enter({.what = not_owned(alpha), .expected = expected});
    if (expected == 1 && pipe.in_flight() == 1)
      BOOST_TEST(pipe.on_result({}));
  }
  BOOST_TEST(pipe.on_result(done(alpha, "UPDATE 1")));
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(pipe.on_result(done(alpha, "UPDATE 0")));
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(pipe.on_result(done(alpha, "UPDATE 3")));
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(told(pipe) == "UPDATE 1");
  auto stale = pipe.next();
  BOOST_TEST((std::get<db_failure>(stale->outcome).code == errc::stale));
  BOOST_TEST((std::get<db_failure>(pipe.next()->outcome).code == errc::stale));
}

BOOST_AUTO_TEST_CASE(a_text_that_is_not_ours_is_parsed_each_time_and_leaves_no_name) {
  const dynamic_statement own{"own", "select 1"};
  pipeline pipe;
  for (int i = 0; i < 2; ++i) {
    auto order = pipe.enter({.what = own.get()});
    BOOST_TEST(order.name.empty());
    BOOST_TEST(!order.prepare);
    BOOST_TEST(pipe.on_error(failure_with("no such statement"), true));
    BOOST_TEST(pipe.on_sync());
    BOOST_TEST(told(pipe) == "no such statement");
  }
}
