// What watchers of jobs are told: a row for each job that is another than it was, and for no other.
#include "db/bulk_statements.hpp"
#include "db/report_statements.hpp"
#include "tests/db/desk.hpp"

#include <map>
#include <random>

using namespace troupe;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

struct watching : jobs_database {
  std::map<std::int64_t, job_sight> told;

  /// Asks for all of these; those that changed.
  std::map<std::int64_t, job_sight> look(const std::vector<job_id>& ids) {
    watch_jobs question;
    for (const auto id : ids) {
      const auto known = told.find(id.value);
      if (known == told.end())
        question.jobs.push_back({id, {}, 0});
      else
        question.jobs.push_back({id, known->second.mark, known->second.last_line});
    }
    std::map<std::int64_t, job_sight> out;
    for (const auto& one : decode_sights(at.ask(watch_query(question))).jobs)
      BOOST_TEST(out.emplace(one.id.value, one).second);
    for (const auto& [id, sight] : out)
      told[id] = sight;
    return out;
  }
  bool changed(job_id id) { return look({id}).contains(id.value); }
  void report(const claimed_jobs& of, std::optional<double> percent, int lines) {
    record_reports what;
    const run_key run{of.lease, of.jobs.at(0)->id, of.jobs.at(0)->attempt};
    if (percent)
      what.progress.push_back({run, percent, "so far"});
    for (int i = 0; i < lines; ++i)
      what.lines.push_back({run, line_level::info, "a line"});
    at.ask(report_query(what));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(watchers, watching)

BOOST_AUTO_TEST_CASE(each_change_of_a_job_is_told_once) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  const auto told_once = [&](const char* what) {
    BOOST_TEST(changed(id), what);
    BOOST_TEST(!changed(id), what);
  };
  told_once("a new one");
  edit_job edit{id};
  edit.priority = 3;
  at.ask(edit_query(edit));
  told_once("edited");
  at.retry(id);
  told_once("available");
  auto run = at.claim_one();
  told_once("running");
  report(run, 10, 0);
  told_once("progress");
  report(run, 10, 0); // the same once more, at another time
  told_once("progress again");
  const auto mark = told.at(id.value).mark;
  report(run, {}, 3);
  told_once("lines");
  BOOST_TEST(told.at(id.value).mark == mark);
  BOOST_TEST(told.at(id.value).last_line > 0);
  at.finish(run, failed("no"), std::chrono::hours{1});
  told_once("retryable");
  BOOST_TEST(!told.at(id.value).ended);
  at.retry(id);
  told_once("available again");
  at.finish(at.claim_one());
  told_once("completed");
  BOOST_TEST(told.at(id.value).ended);
  at.retry(id);
  told_once("reopened");
  BOOST_TEST(!told.at(id.value).ended);
  at.cancel(id);
  told_once("cancelled");
  BOOST_TEST(told.at(id.value).ended);
  at.remove(id);
  told_once("deleted");
  BOOST_TEST(told.at(id.value).mark == 0);
  BOOST_TEST(told.at(id.value).last_line == 0);
  BOOST_TEST(!told.at(id.value).ended);
}

BOOST_AUTO_TEST_CASE(a_job_that_there_never_was_is_told_as_such_once) {
  const job_id none{4711};
  const auto seen = look({none});
  BOOST_REQUIRE(seen.size() == 1U);
  BOOST_TEST(seen.at(4711).mark == 0);
  BOOST_TEST(!changed(none));
}

BOOST_AUTO_TEST_CASE(a_job_that_goes_from_node_to_node_is_told) {
  const auto id = at.enqueue();
  at.claim_one();
  BOOST_TEST(changed(id));
  const auto dead = at.node;
  at.join("another");
  database.exec("update troupe.node set heartbeat_at = now() - interval '1 hour' where id = "
                + std::to_string(dead.value));
  at.rescue(dead);
  BOOST_TEST(changed(id)); // lost: the next attempt is ready
  at.claim_one();
  BOOST_TEST(changed(id));
  BOOST_TEST(!changed(id));
}

// A mark has to change whenever what is shown does, and nothing may be told that did not change
// itself: whoever is idle costs nothing.
BOOST_AUTO_TEST_CASE(by_chance_exactly_what_changed_is_told) {
  std::mt19937 random{39};
  const auto ids = at.enqueue_many(12);
  const auto shown = [&](job_id id) {
    const auto job = at.find(id);
    if (!job)
      return std::string{"none"};
    auto text = std::string{to_string(job->state)} + ' ' + std::to_string(job->attempt) + ' '
                + std::to_string(job->attempts.size()) + ' ' + std::to_string(job->priority);
    if (job->progress)
      text += ' ' + std::to_string(job->progress->percent.value_or(-1));
    return text;
  };
  std::map<std::int64_t, std::string> before;
  look(ids);
  for (const auto id : ids)
    before[id.value] = shown(id);
  std::vector<claimed_jobs> running;
  std::size_t told_of = 0;
  for (int step = 0; step < 150; ++step) {
    const auto id = ids.at(random() % ids.size());
    try {
      switch (random() % 7) {
      case 0:
      case 1:
        if (auto one = at.claim(1); !one.jobs.empty())
          running.push_back(std::move(one));
        break;
      case 2:
        if (!running.empty()) {
          at.finish(running.back(), random() % 2 == 0 ? completed() : failed("by chance"));
          running.pop_back();
        }
        break;
      case 3:
        at.retry(id);
        break;
      case 4:
        at.cancel(id);
        break;
      case 5:
        if (!running.empty())
          report(running.back(), static_cast<double>(random() % 100), 0);
        break;
      default: {
        edit_job edit{id};
        edit.priority = static_cast<int>(random() % 10);
        at.ask(edit_query(edit));
      }
      }
    } catch (const refused&) { // its state does not allow it: nothing changed
    }
    const auto seen = look(ids);
    BOOST_TEST(seen.size() <= 1U);
    told_of += seen.size();
    for (const auto one : ids) {
      auto now = shown(one);
      BOOST_TEST((now == before[one.value] || seen.contains(one.value)), now);
      before[one.value] = std::move(now);
    }
  }
  BOOST_TEST(told_of > 40U);
}

BOOST_AUTO_TEST_SUITE_END()
