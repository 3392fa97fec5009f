// Spans of runs of workers by HTTP: what a claim's answer names is what the finish exports, though
// nothing is kept between them.
#include "http/work_spans.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <set>

using namespace troupe;
using namespace troupe::http;
using namespace std::chrono_literals;

namespace {

const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string sampled = "00-" + trace + "-00f067aa0ba902b7-01";
const std::string unsampled = "00-" + trace + "-00f067aa0ba902b7-00";
const work_session session{node_id{17}, std::string(32, 's'), {}};

claimed_job job(std::int64_t id, const std::string& traceparent = {}) {
  claimed_job out;
  out.lease = lease_id{9};
  out.id = job_id{id};
  out.attempt = 2;
  out.traceparent = traceparent;
  return out;
}

std::string traceparent_of(const work_session& by, std::int64_t lease, std::int64_t id, int attempt,
                           double ratio = 1) {
  const auto own = trace_of_work(by, lease_id{lease}, job_id{id}, attempt, "", ratio);
  return own ? to_traceparent(*own) : "";
}

ended_work ended(std::int64_t id, job_result result = completed()) {
  return {lease_id{9}, job_id{id}, 2, std::move(result)};
}

told_work told(std::int64_t id, const std::string& traceparent = {},
               run_end how = run_end::completed) {
  return {job_id{id}, 1500ms, how, "mail", "send", traceparent};
}

std::string text_of(const span& of, std::string_view name) {
  for (const auto& [key, value] : of.attributes)
    if (key == name)
      return std::holds_alternative<std::string>(value)
                 ? std::get<std::string>(value)
                 : std::to_string(std::get<std::int64_t>(value));
  return "none";
}

} // namespace

BOOST_AUTO_TEST_CASE(ids_are_made_of_the_session_the_lease_the_job_and_the_attempt) {
  // As `printf 's%.0s' {1..32}; printf '%016x%016x%016x' 9 3 2 | xxd -r -p` through sha256sum.
  BOOST_TEST(traceparent_of(session, 9, 3, 2)
             == "00-b418a1f26094fe5ba032f3eac1e0f4d4-dce34fb3acd3e1b3-03");
  const work_session other{node_id{17}, std::string(32, 't'), {}};
  const std::set<std::string> all{traceparent_of(session, 9, 3, 2), traceparent_of(other, 9, 3, 2),
                                  traceparent_of(session, 8, 3, 2),
                                  traceparent_of(session, 9, 4, 2),
                                  traceparent_of(session, 9, 3, 1)};
  BOOST_TEST(all.size() == 5U);
  auto elsewhere = session; // the same life, as another node hears of it
  elsewhere.token = 7;
  BOOST_TEST(traceparent_of(elsewhere, 9, 3, 2) == traceparent_of(session, 9, 3, 2));
  BOOST_TEST(traceparent_of(session, 9, 3, 2, 0) == "");
  BOOST_TEST(traceparent_of(session, 9, 3, 2, 1e-300).ends_with("-02"));
}

BOOST_AUTO_TEST_CASE(what_a_claim_hands_out_is_what_its_finish_exports) {
  const claimed_work got{{job(1, sampled), job(2), job(3, unsampled)}};
  const auto traces = traces_of(got, session, 1);
  BOOST_REQUIRE(traces.size() == 3U);
  const auto made = ending_spans{finish_work{session, {ended(1), ended(2), ended(3)}}}.ended(
      finished_work{{}, {}, {told(2), told(3, unsampled), told(1, sampled)}}, 1);
  BOOST_REQUIRE(made.size() == 2U);
  BOOST_TEST(to_traceparent(made[0].self) == traces[1]);
  BOOST_TEST(made[0].parent == "");
  BOOST_TEST(to_traceparent(made[1].self) == traces[0]);
  BOOST_TEST(made[1].parent == "00f067aa0ba902b7");
  BOOST_TEST(made[1].self.trace_id == trace);
  const auto left_out = parse_traceparent(traces[2]);
  BOOST_REQUIRE(left_out.has_value()); // its ids go on
  BOOST_TEST(left_out->trace_id == trace);
  BOOST_TEST(left_out->span_id != "00f067aa0ba902b7");
  BOOST_TEST(!left_out->sampled());
  BOOST_TEST((traces_of({{job(2)}}, session, 0) == std::vector<std::string>{""}));
}

BOOST_AUTO_TEST_CASE(a_span_is_told_as_those_of_the_nodes_own_runs) {
  const auto made =
      ending_spans{finish_work{session, {ended(3, failed(std::string(2000, 'x')))}}}.ended(
          finished_work{{}, {}, {told(3, sampled, run_end::retried)}}, 1);
  BOOST_REQUIRE(made.size() == 1U);
  const auto& one = made.front();
  BOOST_TEST(one.name == "run send");
  BOOST_TEST((one.kind == span_kind::consumer));
  BOOST_TEST((one.end - one.start == 1500ms));
  BOOST_TEST(one.failed);
  BOOST_TEST(one.failure == std::string(1024, 'x'));
  const std::vector<std::pair<std::string, std::string>> wanted{
      {"messaging.system", "troupe"}, {"messaging.destination.name", "mail"},
      {"troupe.job.id", "3"},         {"troupe.job.kind", "send"},
      {"troupe.job.attempt", "2"},    {"troupe.outcome", "retried"}};
  BOOST_TEST(one.attributes.size() == wanted.size());
  for (const auto& [name, value] : wanted)
    BOOST_TEST(text_of(one, name) == value, name);
}

BOOST_AUTO_TEST_CASE(what_was_not_told_of_has_no_span) {
  const ending_spans ending{finish_work{session, {ended(1), ended(2, snoozed(1s))}}};
  BOOST_TEST(ending.ended(finished_work{{}, {}, {}}, 1).empty());
  BOOST_TEST(ending.ended(finished_work{{}, {}, {told(7)}}, 1).empty());
  const auto snoozed_one = ending.ended(finished_work{{}, {}, {told(2, "", run_end::snoozed)}}, 1);
  BOOST_REQUIRE(snoozed_one.size() == 1U);
  BOOST_TEST(!snoozed_one.front().failed);
  BOOST_TEST(text_of(snoozed_one.front(), "troupe.outcome") == "snoozed");
}
