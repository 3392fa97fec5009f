// The whole cast on a real database, through its two entrances: GATE and the crawl port.
#include "actors/crawl_port.hpp"
#include "tests/actors/whole_cast.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>
#include <caf/all.hpp>

#include <future>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct crawling : whole_cast {
  std::unique_ptr<crawl_port> port =
      make_crawl_port(sys, all.recorder, all.crawls, all.store, all.executor, *all.work);
  std::optional<std::stop_callback<std::function<void()>>> told_to_stop;

  void run_jobs() {
    handler_table handlers;
    handlers["ok"] = [](job_run_ptr run, completion done) { done(completed(run->args)); };
    handlers["fails once"] = [](const job_run_ptr& run, const completion& done) {
      auto result = failed("first");
      result.retry_in = 0ms;
      done(run->attempt == 1 ? result : completed());
    };
    // Stops when it is told to, and not before; one at a time.
    handlers["waits"] = [this](const job_run_ptr& run, const completion& done) {
      told_to_stop.emplace(run->stop, [done] { done(failed("stopped")); });
    };
    handlers["scrape.page"] = [](const job_run_ptr&, const completion& done) { done(snoozed(1h)); };
    begin(sys, all, options, loop, std::make_shared<const handler_table>(std::move(handlers)),
          counters);
  }
  std::vector<job_id> enqueue(std::vector<job_spec> jobs) {
    return std::get<enqueued_jobs>(ask(enqueue_jobs{std::move(jobs)})).ids;
  }
  job_record get(job_id id) { return std::get<job_record>(ask(get_job{id})); }
  bool reaches(job_id id, job_state state) {
    return await_until([&] { return get(id).state == state; });
  }
  /// Calls a member of the port and waits for its callback.
  template<class Reply, class Call>
  result_or<Reply> through_port(Call call) {
    auto promised = std::make_shared<std::promise<result_or<Reply>>>();
    auto answer = promised->get_future();
    call([promised](result_or<Reply> reply) { promised->set_value(std::move(reply)); });
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
    return answer.get();
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(ports, crawling)

BOOST_AUTO_TEST_CASE(jobs_run_fail_once_are_cancelled_retried_listed_and_deleted) {
  run_jobs();
  std::vector<job_spec> many(2000, job_spec{.kind = "ok", .args = "7"});
  const auto ids = enqueue(many);
  BOOST_REQUIRE(await_until([&] { return counters.attempts_completed == 2000U; }));
  BOOST_TEST(get(ids[1999]).attempts.at(0).result == "7");
  BOOST_TEST(database.value("select count(*) from troupe.attempt where outcome = 1") == "2000");
  BOOST_REQUIRE(
      await_until([&] { return database.value("select count(*) from troupe.lease") == "0"; }));

  const auto twice = enqueue({{.kind = "fails once"}})[0];
  BOOST_TEST(reaches(twice, job_state::completed));
  BOOST_TEST(get(twice).attempts.size() == 2U);

  const auto later = enqueue({{.kind = "ok", .delay = 300ms}})[0];
  BOOST_TEST(reaches(later, job_state::completed));

  const auto stuck = enqueue({{.kind = "waits"}})[0];
  BOOST_REQUIRE(await_until([&] { return counters.running == 1U; }));
  BOOST_TEST((std::get<job_record>(ask(cancel_job{stuck})).state == job_state::cancelled));
  BOOST_REQUIRE(await_until([&] { return counters.running == 0U; }));
  BOOST_TEST(get(stuck).state == job_state::cancelled);
  BOOST_TEST(std::get<failure>(ask(cancel_job{stuck})).code == errc::conflict);

  ask(retry_job{twice});
  BOOST_REQUIRE(await_until([&] { return get(twice).attempts.size() == 3U; }));
  list_jobs newest;
  newest.limit = 3;
  BOOST_TEST(std::get<job_page>(ask(newest)).jobs.at(0).id == stuck);
  BOOST_TEST(std::get<deleted_job>(ask(delete_job{stuck})).id == stuck);
  BOOST_TEST(std::get<failure>(ask(get_job{stuck})).code == errc::not_found);
  BOOST_TEST(std::get<failure>(ask(enqueue_jobs{{{.kind = ""}}})).code == errc::invalid_argument);
  BOOST_TEST(board->last() != nullptr);
}

BOOST_AUTO_TEST_CASE(a_crawl_is_opened_recorded_listed_and_closed) {
  const auto crawl = enqueue({{.kind = "scrape"}})[0];
  const crawl_spec spec{.url = "http://a/", .max_depth = 2, .max_pages = 5, .selectors = {}};
  const auto progress = [&](auto call) {
    const auto said = through_port<crawl_progress>(call);
    BOOST_REQUIRE(std::holds_alternative<crawl_progress>(said));
    return std::get<crawl_progress>(said);
  };
  BOOST_TEST(progress([&](auto reply) { port->open(crawl, spec, reply); }).pages == 1);
  BOOST_TEST(progress([&](auto reply) { port->open(crawl, spec, reply); }).pages == 1);
  const auto kept = through_port<crawl_spec>([&](auto reply) { port->spec(crawl, reply); });
  BOOST_TEST(std::get<crawl_spec>(kept).max_pages == 5);
  page_outcome page;
  page.crawl = crawl;
  page.page = job_id{crawl.value + 1};
  page.url = "http://a/";
  page.status = 200;
  page.bytes = 10;
  page.discovered = {"http://a/1", "http://a/2"};
  const auto after = progress([&](auto reply) { port->record(page, reply); });
  BOOST_TEST(after.pages == 3);
  BOOST_TEST(after.fetched == 1);
  BOOST_TEST(progress([&](auto reply) { port->progress(crawl, reply); }).bytes == 10);
  const auto items = through_port<std::vector<item_record>>(
      [&](auto reply) { port->items(crawl, {}, 10, reply); });
  BOOST_TEST(std::get<std::vector<item_record>>(items).size() == 1U);
  const auto source = port->all_items(crawl);
  for (const auto count : {1U, 0U, 0U}) {
    const auto some =
        through_port<std::vector<item_record>>([&](auto reply) { source->next(std::move(reply)); });
    BOOST_REQUIRE(std::get<std::vector<item_record>>(some).size() == count);
    BOOST_TEST((count == 0 || std::get<std::vector<item_record>>(some)[0].url == page.url));
  }
  const auto jobs = through_port<job_page>([&](auto reply) {
    port->jobs({{}, {}, "scrape.page"}, {}, 10, reply);
  });
  BOOST_TEST(std::get<job_page>(jobs).jobs.size() == 3U);
  const auto end = progress([&](auto reply) { port->close(crawl, reply); });
  BOOST_TEST(end.closed);
  BOOST_TEST(end.finished());
  for (const auto what : {crawl.value + 999, std::int64_t{0}}) {
    const auto none =
        through_port<crawl_progress>([&](auto reply) { port->progress(job_id{what}, reply); });
    BOOST_TEST(std::get<failure>(none).code == errc::not_found);
    const auto no_spec =
        through_port<crawl_spec>([&](auto reply) { port->spec(job_id{what}, reply); });
    BOOST_TEST(std::get<failure>(no_spec).code == errc::not_found);
  }
}

BOOST_AUTO_TEST_CASE(questions_in_flight_when_the_cast_ends_are_answered) {
  run_jobs();
  std::vector<std::future<result_or<job_page>>> answers;
  for (int i = 0; i < 200; ++i) {
    auto promised = std::make_shared<std::promise<result_or<job_page>>>();
    answers.push_back(promised->get_future());
    port->jobs({}, {}, 10,
               [promised](result_or<job_page> reply) { promised->set_value(std::move(reply)); });
    if (i == 100)
      caf::anon_send_exit(all.root, caf::exit_reason::user_shutdown);
  }
  for (auto& answer : answers)
    BOOST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
}

BOOST_AUTO_TEST_SUITE_END()
