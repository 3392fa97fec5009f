// The edit of a job that waits: every field, every state, and no hand-out of what it was before.
#include "tests/db/bulk_desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const timestamp next_century{std::chrono::sys_days{std::chrono::year{2030} / 1 / 1}};

} // namespace

BOOST_FIXTURE_TEST_SUITE(edits, bulk_desk)

BOOST_AUTO_TEST_CASE(what_is_given_changes_and_all_else_stays) {
  const auto id = at.enqueue({.kind = "noop",
                              .queue = "one",
                              .args = R"({"a": 1})",
                              .priority = 2,
                              .max_attempts = 3,
                              .timeout = 5s,
                              .tags = {"x"}});
  edit({.id = id, .args = R"({"b": "2"})"});
  edit({.id = id, .max_attempts = 7, .timeout = std::optional<std::chrono::milliseconds>{9s}});
  edit({.id = id, .tags = std::vector<std::string>{"say \"it\"", "\\"}});
  auto job = at.get(id);
  BOOST_TEST(job.args == R"({"b": "2"})");
  BOOST_TEST(job.queue == "one");
  BOOST_TEST(job.priority == 2);
  BOOST_TEST(job.max_attempts == 7);
  BOOST_TEST(job.timeout.value().count() == 9000);
  BOOST_TEST((job.tags == std::vector<std::string>{"say \"it\"", "\\"}));
  BOOST_TEST(job.attempts.empty()); // its entry is where it was
  edit({.id = id,
        .timeout = std::optional<std::chrono::milliseconds>{},
        .tags = std::vector<std::string>{}});
  job = at.get(id);
  BOOST_TEST(!job.timeout.has_value());
  BOOST_TEST(job.tags.empty());
  edit({.id = id, .priority = 9, .queue = "two"});
  BOOST_TEST(at.claim(10, "one").jobs.empty());
  const auto got = at.claim_one("two");
  BOOST_TEST(got.jobs[0]->args == R"({"b": "2"})");
  BOOST_TEST(at.claim(10, "two").jobs.empty());
  BOOST_TEST(at.finish(got).fenced.empty());
  BOOST_TEST(at.state(id) == "completed");
}

BOOST_AUTO_TEST_CASE(only_what_waits_is_edited) {
  for (const auto state : every_state)
    BOOST_TEST_CONTEXT(to_string(state)) {
      const std::string queue{to_string(state)};
      const auto id = in_state(state, {.kind = "noop", .queue = queue, .max_attempts = 9});
      const bool waits = state == job_state::scheduled || state == job_state::available
                         || state == job_state::retryable;
      if (!waits) {
        BOOST_CHECK_EXCEPTION(edit({.id = id, .priority = 1}), refused, is_conflict);
        continue;
      }
      edit({.id = id, .priority = 1, .queue = queue + "2"});
      BOOST_TEST(at.state(id) == to_string(state));
      const timestamp before{std::chrono::microseconds{std::stoll(
          database.value("select (extract(epoch from clock_timestamp()) * 1000000)::bigint"))}};
      edit({.id = id, .run_at = std::optional<timestamp>{}}); // now
      BOOST_TEST((at.get(id).run_at >= before));
      BOOST_TEST(at.state(id) == "available");
      BOOST_TEST(at.claim(10, queue).jobs.empty());
      BOOST_TEST(at.claim_one(queue + "2").jobs[0]->id.value == id.value);
    }
  BOOST_CHECK_EXCEPTION(edit({.id = job_id{987654}, .priority = 1}), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(a_job_that_is_put_off_is_handed_out_at_its_time_and_once) {
  const auto id = at.enqueue();
  edit({.id = id, .queue = "later", .run_at = std::optional{next_century}});
  BOOST_TEST(at.state(id) == "scheduled");
  BOOST_TEST((at.get(id).run_at == next_century));
  BOOST_TEST(everything(at).empty());
  BOOST_TEST(everything(at, "later").empty());
  edit({.id = id, .run_at = std::optional{next_century + 24h}});
  BOOST_TEST((at.get(id).run_at == next_century + 24h));
  let_time_pass();
  at.promote();
  BOOST_TEST(everything(at).empty());
  BOOST_TEST(everything(at, "later") == set_of({id}));
}

BOOST_AUTO_TEST_CASE(what_was_for_later_and_is_retried_is_for_now) {
  for (const bool many : {false, true}) {
    const auto id = at.enqueue({.kind = "noop", .delay = std::chrono::hours{1}});
    at.cancel(id);
    if (many)
      BOOST_TEST(all_of({.action = bulk_action::retry, .ids = {id}}).changed == 1);
    else
      at.retry(id);
    BOOST_TEST(at.state(id) == "available");
    BOOST_TEST((at.get(id).run_at < at.get(id).created_at + std::chrono::minutes{30}));
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_failed_keeps_its_count_and_stays_to_be_retried) {
  const auto id = in_state(job_state::retryable, {.kind = "noop", .max_attempts = 2});
  edit({.id = id, .priority = 3, .run_at = std::optional{next_century}});
  BOOST_TEST(at.state(id) == "retryable");
  let_time_pass();
  at.promote();
  at.finish(at.claim_one(), failed("again"));
  BOOST_TEST(at.state(id) == "discarded");
}

BOOST_AUTO_TEST_CASE(what_no_job_can_have_is_refused_by_name) {
  const auto id = at.enqueue().value;
  const auto refuses = [&](const std::string& changes) {
    try {
      at.ask(db::make_query("select troupe.edit($1, $2)", id, db::json{changes}));
      return std::string{"accepted"};
    } catch (const refused& e) {
      BOOST_TEST(is_invalid(e));
      return e.why.message.substr(0, e.why.message.find(' '));
    }
  };
  BOOST_TEST(refuses("{}") == "changes");
  BOOST_TEST(refuses("[]") == "changes");
  BOOST_TEST(refuses(R"({"kind":"other"})") == "kind");
  BOOST_TEST(refuses(R"({"priority":10})") == "priority");
  BOOST_TEST(refuses(R"({"priority":1.5})") == "priority");
  BOOST_TEST(refuses(R"({"priority":null})") == "priority");
  BOOST_TEST(refuses(R"({"queue":"a b"})") == "queue");
  BOOST_TEST(refuses(R"({"queue":7})") == "queue");
  BOOST_TEST(refuses(R"({"max_attempts":0})") == "max_attempts");
  BOOST_TEST(refuses(R"({"max_attempts":"3"})") == "max_attempts");
  BOOST_TEST(refuses(R"({"timeout_ms":0})") == "timeout_ms");
  BOOST_TEST(refuses(R"({"tags":"a"})") == "tags");
  BOOST_TEST(refuses(R"({"tags":[""]})") == "tags");
  BOOST_TEST(refuses(R"({"run_at":"soon"})") == "run_at");
  BOOST_TEST(refuses(R"({"run_at":"2999-01-01T00:00:00Z"})") == "run_at");
  BOOST_TEST(refuses(R"({"run_at":"infinity"})") == "run_at");
  BOOST_TEST(refuses(R"({"priority":1,"odd":1})") == "odd");
  BOOST_TEST(at.get(job_id{id}).priority == 0);
}

BOOST_AUTO_TEST_CASE(an_edit_into_a_key_that_another_job_has_is_a_conflict) {
  const auto put_in = [&](const std::string& args) {
    return at.enqueue(
        {.kind = "only", .args = args, .unique = unique_rule{.queue = true, .fields = {"user"}}});
  };
  const auto seven = put_in(R"({"user": 7})"), eight = put_in(R"({"user": 8})");
  BOOST_CHECK_EXCEPTION(
      edit({.id = eight, .args = R"({"user": 7, "more": 1})"}), refused, [&](const refused& e) {
        return is_conflict(e)
               && e.why.message.find("job " + std::to_string(seven.value)) != std::string::npos;
      });
  edit({.id = eight, .args = R"({"user": 8, "more": 1})"}); // the same key
  edit({.id = eight, .args = R"({"user": 9})"});
  edit({.id = seven, .args = R"({"user": 8})"}); // it is free now
  BOOST_CHECK_EXCEPTION(put_in(R"({"user": 8})"), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(put_in(R"({"user": 9})"), refused, is_conflict);
  put_in(R"({"user": 7})");
  edit({.id = seven, .queue = "elsewhere"});
  put_in(R"({"user": 8})");
  BOOST_TEST(database.value("select count(*) from troupe.unique_key where job_id = 0") == "0");
}

BOOST_AUTO_TEST_CASE(an_edit_waits_for_a_claim_that_has_the_job_and_then_is_refused) {
  const auto id = at.enqueue();
  other.begin();
  const auto got = other.claim_one();
  at.send(db::edit_query({.id = id, .args = R"({"late":true})"}));
  BOOST_TEST(at.waits(database));
  other.commit();
  BOOST_TEST((at.later_code() == errc::conflict));
  BOOST_TEST(at.get(id).args == "{}");
  BOOST_TEST(other.finish(got).fenced.empty());
}

BOOST_AUTO_TEST_CASE(a_claim_passes_by_a_job_that_is_being_edited) {
  const auto id = at.enqueue();
  at.begin();
  edit({.id = id, .args = R"({"new":true})"});
  BOOST_TEST(other.claim().jobs.empty());
  at.commit();
  BOOST_TEST(other.claim_one().jobs[0]->args == R"({"new": true})");
}

BOOST_AUTO_TEST_CASE(a_job_set_aside_for_its_key_is_edited_as_others) {
  at.limit_keys(1);
  at.enqueue_keyed(5, "a");
  const auto one = at.claim(10);
  const auto parked = job_id{std::stoll(database.value("select max(job_id) from troupe.parked"))};
  edit({.id = parked, .queue = "elsewhere"});
  BOOST_TEST(count("parked") == 3);
  BOOST_TEST(everything(at, "elsewhere") == set_of({parked}));
  at.finish(one);
  std::size_t ran = 1;
  for (auto batch = at.claim(10); !batch.jobs.empty(); batch = at.claim(10)) {
    ran += batch.jobs.size();
    at.finish(batch);
  }
  BOOST_TEST(ran == 4U);
}

BOOST_AUTO_TEST_SUITE_END()
