// Several statements to one sync, and statements made at run time, against a real server.
#include "tests/db/numbers.hpp"
#include "tests/support/database.hpp"
#include "tests/support/drive.hpp"

#include <boost/test/unit_test.hpp>

#include <poll.h>
#include <set>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

const statement begin{"begin", "begin"};
const statement commit{"commit", "commit"};
const statement rollback{"rollback", "rollback"};
const statement set_savepoint{"set_savepoint", "savepoint s"};
const statement back_to_savepoint{"back_to_savepoint", "rollback to savepoint s"};
const statement defer{"defer", "insert into d values ($1::int8)"};

std::string told(const finished& answer) {
  if (const auto* why = std::get_if<db_failure>(&answer.outcome))
    return to_string(why->code);
  return std::string{std::get<result>(answer.outcome).command_tag()};
}

struct table {
  test_database database{test_database::content::empty};
  connection on = [this] {
    database.exec("create table t (a int8 primary key);"
                  "create table d (a int8 unique deferrable initially deferred)");
    return connect(database.url());
  }();

  /// Sends all as one group and gives the answers as texts.
  std::vector<std::string> burst(const std::vector<query>& group) {
    for (const auto& each : group)
      on.submit(each, sync_point::later);
    on.flush();
    std::vector<std::string> all;
    for (const auto& answer : answers(on, group.size()))
      all.push_back(told(answer));
    return all;
  }
  std::string stored() {
    return database.value("select coalesce(string_agg(a::text, ',' order by a), '') from t");
  }
};

using texts = std::vector<std::string>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(groups, table)

BOOST_AUTO_TEST_CASE(a_whole_transaction_in_one_group_is_committed) {
  const texts told =
      burst({query{begin}, with(insert, 1), query{set_savepoint}, with(insert, 2), query{commit}});
  BOOST_TEST(told == (texts{"BEGIN", "INSERT 0 1", "SAVEPOINT", "INSERT 0 1", "COMMIT"}),
             boost::test_tools::per_element());
  BOOST_TEST(!on.in_transaction());
  BOOST_TEST(stored() == "1,2");
}

BOOST_AUTO_TEST_CASE(answers_that_come_before_the_sync_wait_for_it) {
  // The second asks for the first one's answer.
  on.submit(with(divide, 1), sync_point::later);
  on.submit(with(divide, 2), sync_point::later);
  on.on_writable(); // sends, and does not end the group
  pollfd watched{on.socket(), POLLIN, 0};
  BOOST_REQUIRE(::poll(&watched, 1, 60'000) == 1);
  on.on_readable();
  BOOST_TEST(!on.next().has_value());
  BOOST_TEST(!on.broken());
  on.flush();
  BOOST_TEST(answers(on, 2).size() == 2U);
}

BOOST_AUTO_TEST_CASE(an_error_in_a_block_aborts_what_follows_and_a_commit_then_says_rollback) {
  const texts told =
      burst({query{begin}, with(insert, 1), with(divide, 0), with(insert, 2), query{commit}});
  BOOST_TEST(told == (texts{"BEGIN", "INSERT 0 1", "invalid_argument", "aborted", "aborted"}),
             boost::test_tools::per_element());
  BOOST_TEST((on.block() == block_state::failed));
  auto why = refusal(on, with(insert, 3));
  BOOST_TEST((why.code == errc::aborted));
  BOOST_TEST(why.message.find("division by zero") != std::string::npos);
  BOOST_TEST(burst({query{commit}}).front() == "ROLLBACK");
  BOOST_TEST((on.block() == block_state::none));
  BOOST_TEST(stored() == "");
}

BOOST_AUTO_TEST_CASE(rolling_back_to_a_savepoint_opens_the_block_again) {
  burst({query{begin}, with(insert, 1), query{set_savepoint}, with(insert, 2), with(divide, 0)});
  const texts told = burst({query{back_to_savepoint}, with(insert, 3), query{commit}});
  BOOST_TEST(told == (texts{"ROLLBACK", "INSERT 0 1", "COMMIT"}), boost::test_tools::per_element());
  BOOST_TEST(stored() == "1,3");
}

BOOST_AUTO_TEST_CASE(without_a_block_a_failed_group_leaves_nothing_and_nobody_is_told_otherwise) {
  const texts told = burst({with(insert, 1), with(divide, 0), with(insert, 2)});
  BOOST_TEST(told == (texts{"aborted", "invalid_argument", "aborted"}),
             boost::test_tools::per_element());
  BOOST_TEST(stored() == "");
  BOOST_TEST(burst({with(insert, 1), with(insert, 2)}).back() == "INSERT 0 1");
  BOOST_TEST(stored() == "1,2");
}

BOOST_AUTO_TEST_CASE(a_group_that_fails_at_its_commit_is_told_so_to_all) {
  const texts told = burst({with(insert, 1), with(defer, 1), with(defer, 1)});
  BOOST_TEST(told == (texts{"aborted", "aborted", "conflict"}), boost::test_tools::per_element());
  BOOST_TEST(stored() == "");
  BOOST_TEST((on.block() == block_state::none));
}

BOOST_AUTO_TEST_CASE(groups_follow_each_other_without_waiting) {
  on.submit(query{begin}, sync_point::later);
  on.submit(with(divide, 0));
  on.submit(query{rollback});
  for (std::int64_t i = 1; i < 4; ++i) {
    on.submit(query{begin}, sync_point::later);
    on.submit(with(insert, i), sync_point::later);
    on.submit(query{commit});
  }
  auto all = answers(on, 12);
  BOOST_TEST(told(all[1]) == "invalid_argument");
  BOOST_TEST(told(all[2]) == "ROLLBACK");
  BOOST_TEST(told(all.back()) == "COMMIT");
  BOOST_TEST(stored() == "1,2,3");
}

BOOST_AUTO_TEST_CASE(statements_skipped_on_their_first_use_are_prepared_later) {
  burst({with(divide, 0), with(insert, 1)});
  BOOST_TEST(burst({with(insert, 1), with(insert, 2)}).back() == "INSERT 0 1");
  BOOST_TEST(stored() == "1,2");
}

BOOST_AUTO_TEST_CASE(what_is_refused_takes_its_group_along_so_that_no_half_is_committed) {
  connect_options options;
  options.url = database.url();
  options.max_in_flight = 2;
  on = connect(options);
  on.submit(query{begin}, sync_point::later);
  on.submit(with(insert, 1), sync_point::later);
  on.submit(with(insert, 2), sync_point::later);
  on.submit(query{commit});
  auto all = answers(on, 4);
  BOOST_TEST(told(all[0]) == "overloaded");
  BOOST_TEST(told(all[1]) == "aborted");
  BOOST_TEST(told(all[2]) == "BEGIN");
  BOOST_TEST(on.in_transaction());
  burst({query{rollback}});
  BOOST_TEST(stored() == "");
}

BOOST_AUTO_TEST_CASE(killed_at_any_moment_a_group_is_stored_whole_or_not_at_all) {
  constexpr std::int64_t transactions = 40;
  std::int64_t value = 0;
  for (std::size_t kill_after = 0; kill_after < 4 * transactions; kill_after += 16) {
    on = connect(database.url());
    const auto first = value;
    for (std::int64_t i = 0; i < transactions; ++i, value += 2) {
      on.submit(query{begin}, sync_point::later);
      on.submit(with(insert, value), sync_point::later);
      on.submit(with(insert, value + 1), sync_point::later);
      on.submit(query{commit});
    }
    auto all = answers(on, kill_after);
    database.exec("select pg_terminate_backend(" + std::to_string(on.backend_pid()) + ", 10000)");
    while (!on.broken())
      step(on);
    while (auto answer = on.next())
      all.push_back(std::move(*answer));
    BOOST_REQUIRE(all.size() == 4 * transactions);
    for (std::int64_t i = 0; i < transactions; ++i) {
      auto commit_told = told(all[static_cast<std::size_t>(4 * i + 3)]);
      auto rows =
          database.value("select count(*) from t where a in (" + std::to_string(first + 2 * i) + ","
                         + std::to_string(first + 2 * i + 1) + ")");
      BOOST_REQUIRE((rows == "2" || rows == "0"));
      BOOST_REQUIRE((commit_told == "COMMIT" || commit_told == "outcome_unknown"));
      if (commit_told == "COMMIT")
        BOOST_REQUIRE(rows == "2");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_ends_in_a_group_leaves_nothing_unanswered) {
  on.submit(query{begin}, sync_point::later);
  on.submit(query{end_me}, sync_point::later);
  on.submit(query{commit});
  while (!on.broken())
    step(on);
  for (int i = 0; i < 3; ++i) {
    auto answer = on.next();
    BOOST_REQUIRE(answer.has_value());
    BOOST_TEST(told(*answer) == "outcome_unknown");
  }
  BOOST_TEST((on.block() == block_state::none));
}

BOOST_AUTO_TEST_CASE(a_text_made_at_run_time_takes_typed_parameters_and_outlives_its_maker) {
  std::optional<row> kept;
  {
    std::string text = "select a + $1 as sum, $2 as label from t";
    query q{dynamic_statement{"report", text}};
    q.bind(std::int64_t{40}).bind("it's");
    text.assign(text.size(), '?');
    burst({with(insert, 2)});
    kept = rows(on, q).one();
  }
  BOOST_TEST(kept->get<std::int64_t>(0) == 42);
  BOOST_TEST(kept->get<std::string>(1) == "it's");
  BOOST_CHECK_EXCEPTION(kept->get<bool>(0), decode_error, [](const decode_error& error) {
    return std::string{error.what()}.find("of statement report") != std::string::npos;
  });
  BOOST_TEST(database.value("select count(*) from t") == "1");
}

BOOST_AUTO_TEST_CASE(a_text_made_at_run_time_is_never_left_prepared) {
  for (int i = 0; i < 300; ++i)
    on.submit(query{dynamic_statement{"own", "select " + std::to_string(i)}});
  for (const auto& answer : answers(on, 300))
    BOOST_REQUIRE(told(answer) == "SELECT 1");
  const statement count{"count",
                        "select count(*) from pg_prepared_statements where name <> 'count'"};
  BOOST_TEST(rows(on, query{count}).one().get<std::int64_t>(0) == 0);
  BOOST_TEST(
      (refusal(on, query{dynamic_statement{"own", "select 1; select 2"}}).code == errc::database));
  BOOST_TEST(told(ask(on, query{dynamic_statement{"own", ""}})) == "");
}

BOOST_AUTO_TEST_SUITE_END()
