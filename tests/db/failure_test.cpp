// The table from SQLSTATE to consequence.
#include "db/failure.hpp"

#include <boost/test/unit_test.hpp>

using troupe::errc;
using namespace troupe::db;

namespace boost::test_tools::tt_detail {
template<>
struct print_log_value<errc> {
  void operator()(std::ostream& out, errc value) { out << troupe::to_string(value); }
};
} // namespace boost::test_tools::tt_detail

namespace {

server_error error(std::string state, std::string severity = "ERROR") {
  server_error made;
  made.sqlstate = std::move(state);
  made.severity = std::move(severity);
  made.message = "what happened";
  return made;
}

} // namespace

BOOST_AUTO_TEST_CASE(each_sqlstate_has_its_consequence) {
  struct expectation {
    const char* state;
    errc code;
    bool retryable;
    bool poisons;
  };
  constexpr expectation table[] = {
      {"40001", errc::retry, true, false},
      {"40P01", errc::retry, true, false},
      {"55P03", errc::retry, true, false},
      {"26000", errc::retry, true, false},
      {"57014", errc::timed_out, false, false},
      {"23505", errc::conflict, false, false},
      {"23503", errc::conflict, false, false},
      {"23P01", errc::conflict, false, false},
      {"23514", errc::invalid_argument, false, false},
      {"23502", errc::invalid_argument, false, false},
      {"22021", errc::invalid_argument, false, false},
      {"22P05", errc::invalid_argument, false, false},
      {"22008", errc::invalid_argument, false, false},
      {"54001", errc::invalid_argument, false, false},
      {"53300", errc::unavailable, true, true},
      {"57P01", errc::unavailable, true, true},
      {"57P02", errc::unavailable, true, true},
      {"57P03", errc::unavailable, true, true},
      {"25P03", errc::unavailable, true, true},
      {"08006", errc::unavailable, true, true},
      {"53100", errc::unavailable, true, false},
      {"53200", errc::unavailable, true, false},
      {"58030", errc::unavailable, true, false},
      {"25006", errc::unavailable, true, true},
      {"28P01", errc::unavailable, true, true},
      {"3D000", errc::unavailable, true, true},
      {"TR404", errc::not_found, false, false},
      {"TR409", errc::conflict, false, false},
      {"TR503", errc::overloaded, false, false},
      {"TR400", errc::invalid_argument, false, false},
      {"42P01", errc::database, false, false},
      {"25P02", errc::aborted, false, false},
      {"P0001", errc::database, false, false},
      {"XX000", errc::database, false, false},
      {"", errc::database, false, false},
  };
  for (const auto& expected : table) {
    BOOST_TEST_CONTEXT("SQLSTATE " << expected.state) {
      auto failure = classify(error(expected.state), "job_claim");
      BOOST_TEST(failure.code == expected.code);
      BOOST_TEST(failure.retryable == expected.retryable);
      BOOST_TEST(failure.poisons_connection == expected.poisons);
      BOOST_TEST(failure.sqlstate == expected.state);
      BOOST_TEST(failure.statement == "job_claim");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_fatal_error_ends_the_session_whatever_its_state) {
  for (const char* severity : {"FATAL", "PANIC"}) {
    BOOST_TEST(ends_session(error("XX000", severity)));
    BOOST_TEST(classify(error("XX000", severity), "s").poisons_connection);
  }
  BOOST_TEST(!ends_session(error("57P01", "ERROR")));
}

BOOST_AUTO_TEST_CASE(the_text_keeps_message_detail_and_constraint) {
  auto given = error("23505");
  given.detail = "Key (id)=(1) already exists.";
  given.constraint = "job_pkey";
  auto failure = classify(given, "job_enqueue");
  BOOST_TEST(failure.message == "what happened (Key (id)=(1) already exists.)");
  BOOST_TEST(failure.constraint == "job_pkey");
}

BOOST_AUTO_TEST_CASE(an_outdated_plan_is_prepared_anew_and_other_missing_features_are_not) {
  auto stale = error("0A000");
  stale.function = "RevalidateCachedQuery";
  BOOST_TEST(invalidates_prepared(stale));
  BOOST_TEST(classify(stale, "s").code == errc::retry);
  BOOST_TEST(!invalidates_prepared(error("0A000")));
  BOOST_TEST(classify(error("0A000"), "s").code == errc::database);
  BOOST_TEST(invalidates_prepared(error("26000")));
}

BOOST_AUTO_TEST_CASE(
    a_row_whose_partition_was_made_meanwhile_is_sent_again_and_a_wrong_one_is_not) {
  auto misrouted = error("23514");
  misrouted.function = "ExecPartitionCheckEmitError";
  BOOST_TEST(classify(misrouted, "s").code == errc::retry);
  BOOST_TEST(classify(misrouted, "s").retryable);
  BOOST_TEST(classify(error("23514"), "s").code == errc::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_loss_before_sending_may_be_retried_and_one_after_it_may_not) {
  auto before = lost_before_sending("s", "gone");
  BOOST_TEST(before.code == errc::unavailable);
  BOOST_TEST(before.retryable);
  BOOST_TEST(before.poisons_connection);
  auto after = lost_after_sending("s", "gone");
  BOOST_TEST(after.code == errc::outcome_unknown);
  BOOST_TEST(!after.retryable);
  BOOST_TEST(after.poisons_connection);
  BOOST_TEST(after.message == "gone");
}
