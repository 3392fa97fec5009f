// Jobs as one sees them: every state in get, in the lists and in the view; pages without gaps.
#include "tests/db/desk.hpp"

#include <map>
#include <set>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_FIXTURE_TEST_SUITE(looking, jobs_database)

BOOST_AUTO_TEST_CASE(every_state_is_the_same_in_get_in_each_list_and_in_the_view) {
  std::map<std::string, job_id> by_state;
  const auto make = [&](const std::string& name) {
    return by_state[name] = at.enqueue(job_spec{.kind = "kind-" + name, .queue = "queue-" + name});
  };
  make("available");
  by_state["scheduled"] =
      at.enqueue(job_spec{.kind = "kind-scheduled", .queue = "queue-scheduled", .delay = 1h});
  make("running");
  at.claim(1, "queue-running");
  make("retryable");
  at.finish(at.claim(1, "queue-retryable"), failed("x"));
  make("completed");
  at.finish(at.claim(1, "queue-completed"));
  make("discarded");
  at.finish(at.claim(1, "queue-discarded"), discarded("x"));
  at.cancel(make("cancelled"));
  BOOST_TEST(at.list({}).jobs.size() == 7U);
  for (const auto& [name, id] : by_state) {
    BOOST_TEST(at.state(id) == name);
    BOOST_TEST(
        database.value("select state from troupe.jobs where id = " + std::to_string(id.value))
        == name);
    for (const auto& [other, other_id] : by_state) {
      const auto page = at.list(
          {{.state = parse_job_state(other), .queue = "queue-" + name, .kind = "kind-" + name},
           {},
           50});
      BOOST_TEST(page.jobs.size() == (other == name ? 1U : 0U), name << " among " << other);
    }
    const auto page = at.list({{.state = parse_job_state(name), .queue = {}, .kind = {}}, {}, 50});
    BOOST_REQUIRE(page.jobs.size() == 1U);
    BOOST_TEST((page.jobs[0].id == id));
    BOOST_TEST((page.jobs[0].state == parse_job_state(name)));
    BOOST_TEST(page.jobs[0].attempt == at.get(id).attempt, name);
    BOOST_TEST(at.list({{.state = parse_job_state(name), .queue = "elsewhere", .kind = {}}, {}, 50})
                   .jobs.empty());
    BOOST_TEST(at.list({{.state = parse_job_state(name), .queue = {}, .kind = "other"}, {}, 50})
                   .jobs.empty());
  }
  BOOST_TEST(
      at.list({{.state = job_state::pending, .queue = {}, .kind = {}}, {}, 50}).jobs.empty());
  BOOST_TEST(!at.find(job_id{123456789}).has_value());
}

BOOST_AUTO_TEST_CASE(pages_of_every_state_have_no_gaps_and_no_doubles) {
  at.enqueue_many(25, "available");
  at.enqueue(std::vector<job_spec>(25, job_spec{.kind = "noop", .queue = "s", .delay = 1h}));
  for (const auto& [queue, result] :
       std::map<std::string, std::optional<job_result>>{{"running", std::nullopt},
                                                        {"completed", completed()},
                                                        {"discarded", discarded("x")},
                                                        {"retryable", failed("x")}}) {
    at.enqueue_many(25, queue);
    for (const auto& batch : at.drain(10, queue))
      if (result)
        at.finish(batch, *result);
  }
  for (const auto id : at.enqueue_many(25, "cancelled"))
    at.cancel(id);
  for (const auto state :
       {job_state::available, job_state::scheduled, job_state::running, job_state::completed,
        job_state::discarded, job_state::retryable, job_state::cancelled}) {
    std::vector<std::int64_t> seen;
    list_jobs ask{{.state = state, .queue = {}, .kind = {}}, {}, 7};
    for (int pages = 0; pages < 10; ++pages) {
      const auto page = at.list(ask);
      for (const auto& job : page.jobs) {
        BOOST_TEST((job.state == state));
        seen.push_back(job.id.value);
      }
      if (!page.next)
        break;
      ask.before = *page.next;
    }
    BOOST_TEST(seen.size() == 25U);
    BOOST_TEST(std::is_sorted(seen.rbegin(), seen.rend()));
    BOOST_TEST(std::set(seen.begin(), seen.end()).size() == 25U);
  }
}

BOOST_AUTO_TEST_SUITE_END()
