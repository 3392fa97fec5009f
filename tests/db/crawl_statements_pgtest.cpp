// Crawls, pages and items through the real statements: each link once, limits kept, every crawl
// ends.
#include "tests/db/desk.hpp"

#include <atomic>
#include <set>
#include <thread>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct crawls : jobs_database {
  static constexpr auto queue = "scrape.pages";

  crawl_progress open(crawl_spec spec = {.url = "http://a/", .selectors = {}}) {
    crawl = at.enqueue(job_spec{.kind = "scrape", .queue = "crawls"});
    return open_again(spec);
  }
  crawl_progress open_again(const crawl_spec& spec) {
    at.ask(db::open_crawl_query({crawl, spec}));
    return progress();
  }
  crawl_progress progress() {
    const auto found = db::decode_progress(at.ask(db::progress_query({crawl})));
    BOOST_REQUIRE(found.size() == 1U);
    return found.front();
  }
  crawl_progress reconciled() {
    at.ask(db::reconcile_query(crawl));
    return progress();
  }
  crawl_progress close() {
    at.ask(db::close_query(crawl));
    return progress();
  }
  bool record(const record_pages& what) {
    return db::decode_recorded(at.ask(db::record_query(what)));
  }
  page_outcome page(job_id job, const std::string& url, std::vector<std::string> links = {},
                    int depth = 0) const {
    page_outcome one;
    one.crawl = crawl;
    one.page = job;
    one.url = url;
    one.depth = depth;
    one.status = 200;
    one.title = "T";
    one.headings = 2;
    one.links = static_cast<int>(links.size());
    one.bytes = 100;
    one.discovered = std::move(links);
    return one;
  }
  /// URLs of the page jobs handed out, each with its job.
  std::map<std::string, job_id> pages() {
    std::map<std::string, job_id> found;
    for (auto& batch : at.drain(1000, queue))
      for (const auto& run : batch.jobs) {
        const auto url = database.value("select args->>'url' from troupe.job where id = "
                                        + std::to_string(run->id.value));
        BOOST_TEST(found.emplace(url, run->id).second, url << " was queued twice");
        leases[run->id] = batch;
      }
    return found;
  }
  void end(job_id job, const job_result& result) {
    auto& batch = leases.at(job);
    for (const auto& run : batch.jobs)
      if (run->id == job)
        at.finish({at.node, {ended(batch, *run, result)}, {}});
  }
  item_page items(job_id after = {}, int limit = 1000) {
    return db::decode_items(at.ask(db::items_query({crawl, after, limit})));
  }

  job_id crawl;
  std::map<job_id, claimed_jobs> leases;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(crawling, crawls)

BOOST_AUTO_TEST_CASE(opening_makes_one_page_job_and_opening_again_changes_nothing) {
  const crawl_spec spec{.url = "http://a/x?y=1",
                        .max_depth = 3,
                        .max_pages = 50,
                        .selectors = {{"title", "//h1"}, {"q\"uote", "//a[@href='\\']"}}};
  const auto first = open(spec);
  BOOST_TEST(first.pages == 1);
  BOOST_TEST(!first.closed);
  BOOST_TEST(!first.finished());
  BOOST_TEST(open_again({.url = "http://other/", .selectors = {}}).pages == 1);
  const auto kept = db::decode_crawl_spec(at.ask(db::crawl_spec_query(crawl)));
  BOOST_REQUIRE(kept.has_value());
  BOOST_TEST(kept->url == spec.url);
  BOOST_TEST(kept->max_depth == 3);
  BOOST_TEST(kept->max_pages == 50);
  BOOST_REQUIRE(kept->selectors.size() == 2U);
  BOOST_TEST(kept->selectors[1].name == "q\"uote");
  BOOST_TEST(kept->selectors[1].xpath == "//a[@href='\\']");
  const auto found = pages();
  BOOST_REQUIRE(found.size() == 1U);
  const auto job = at.get(found.at("http://a/x?y=1"));
  BOOST_TEST(job.kind == "scrape.page");
  BOOST_TEST(job.max_attempts == 3);
  BOOST_TEST(!db::decode_crawl_spec(at.ask(db::crawl_spec_query(job_id{999}))).has_value());
}

BOOST_AUTO_TEST_CASE(recording_twice_stores_and_counts_once) {
  open();
  const auto root = pages().at("http://a/");
  auto what = page(root, "http://a/", {"http://a/1", "http://a/2", "http://a/"});
  what.fields = R"({"h": ["x"]})";
  BOOST_TEST(record({{what}}));
  BOOST_TEST(!record({{what}}));
  what.error = "later";
  BOOST_TEST(!record({{what, what}}));
  const auto now = progress();
  BOOST_TEST(now.pages == 3);
  BOOST_TEST(now.fetched == 1);
  BOOST_TEST(now.failed == 0);
  BOOST_TEST(now.bytes == 100);
  const auto stored = items().items;
  BOOST_REQUIRE(stored.size() == 1U);
  BOOST_TEST(stored[0].url == "http://a/");
  BOOST_TEST(stored[0].title == "T");
  BOOST_TEST(stored[0].headings == 2);
  BOOST_TEST(stored[0].links == 3);
  BOOST_TEST(stored[0].status == 200);
  BOOST_TEST(stored[0].fields == R"({"h": ["x"]})");
  BOOST_TEST(stored[0].error == "");
  BOOST_TEST(pages().size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_page_with_an_error_counts_as_failed) {
  open();
  auto what = page(pages().at("http://a/"), "http://a/");
  what.error = "no route";
  what.status = 0;
  record({{what}});
  BOOST_TEST(progress().failed == 1);
  BOOST_TEST(progress().finished());
  BOOST_TEST(items().items.at(0).error == "no route");
}

BOOST_AUTO_TEST_CASE(a_refused_page_takes_its_whole_batch_back) {
  open();
  const auto root = pages().at("http://a/");
  auto bad = page(root, "http://a/", {"http://a/1"});
  bad.fields = "{";
  BOOST_CHECK_EXCEPTION(record({{page(job_id{root.value + 1}, "http://a/z"), bad}}), refused,
                        is_invalid);
  BOOST_TEST(items().items.empty());
  BOOST_TEST(progress().pages == 1);
  BOOST_CHECK_EXCEPTION(record({{page(root, "http://a/", {"http://a/" + std::string(2100, 'x')})}}),
                        refused, is_invalid);
}

BOOST_AUTO_TEST_CASE(links_seen_by_many_recorders_at_once_are_queued_once) {
  open();
  const auto root = pages().at("http://a/");
  constexpr int recorders = 6;
  std::atomic<int> trouble{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < recorders; ++i)
      threads.emplace_back([&, i] {
        try {
          desk mine(database.url());
          for (int round = 0; round < 10; ++round) {
            std::vector<std::string> links;
            for (int n = 0; n < 20; ++n)
              links.push_back("http://a/" + std::to_string((round * 7 + n * (i + 1)) % 150));
            mine.ask(db::record_query(
                {{page(job_id{root.value + 1000 + i * 100 + round}, "http://a/r", links)}}));
          }
        } catch (const std::exception&) {
          ++trouble;
        }
      });
  }
  BOOST_TEST(trouble == 0);
  const auto queued = pages(); // checks that each came once
  BOOST_TEST(static_cast<std::int64_t>(queued.size()) + 1 == progress().pages);
  BOOST_TEST(database.value("select count(*) from troupe.page")
             == std::to_string(progress().pages));
  BOOST_TEST(progress().fetched == recorders * 10);
}

BOOST_AUTO_TEST_CASE(max_pages_and_max_depth_are_kept) {
  open({.url = "http://a/", .max_depth = 1, .max_pages = 4, .selectors = {}});
  const auto root = pages().at("http://a/");
  record({{page(root, "http://a/", {"http://a/1", "http://a/2"})}});
  const auto second = pages();
  BOOST_REQUIRE(second.size() == 2U);
  BOOST_TEST(!record({{page(second.at("http://a/1"), "http://a/1", {"http://a/deep"}, 1)}}));
  // Two recorded together: of four more links one fits, the first.
  BOOST_TEST(record({{page(job_id{root.value + 50}, "http://a/x", {"http://a/3", "http://a/4"}),
                      page(job_id{root.value + 51}, "http://a/y", {"http://a/3", "http://a/5"})}}));
  BOOST_TEST(progress().pages == 4);
  const auto last = pages();
  BOOST_REQUIRE(last.size() == 1U);
  BOOST_TEST(last.begin()->first == "http://a/3");
}

BOOST_AUTO_TEST_CASE(a_closed_crawl_cancels_what_waits_and_queues_nothing) {
  open();
  const auto root = pages().at("http://a/");
  record({{page(root, "http://a/", {"http://a/1", "http://a/2", "http://a/3"})}});
  end(root, completed());
  const auto now = close();
  BOOST_TEST(now.closed);
  BOOST_TEST(now.finished());
  BOOST_TEST(now.fetched == 1);
  BOOST_TEST(now.failed == 3);
  BOOST_TEST(pages().empty());
  BOOST_TEST(!record({{page(root, "http://a/", {"http://a/9"})}}));
  BOOST_TEST(close().pages == 4);
  BOOST_TEST(items().items.at(1).error == "cancelled");
}

BOOST_AUTO_TEST_CASE(cancelling_the_crawl_s_job_closes_the_crawl_whoever_cancels_it) {
  open();
  const auto root = pages().at("http://a/");
  record({{page(root, "http://a/", {"http://a/1", "http://a/2"})}});
  const auto waiting = pages();
  BOOST_TEST(waiting.size() >= 2U);
  at.cancel(crawl);
  BOOST_TEST(progress().closed);
  for (const auto& [url, id] : waiting)
    BOOST_TEST((at.get(id).state == job_state::cancelled), url);
}

BOOST_AUTO_TEST_CASE(pages_that_end_in_silence_are_counted_so_that_every_crawl_ends) {
  open();
  const auto root = pages().at("http://a/");
  record({{page(root, "http://a/", {"http://a/1", "http://a/2", "http://a/3", "http://a/4"})}});
  const auto found = pages();
  at.cancel(found.at("http://a/1"));
  end(found.at("http://a/2"), discarded("broken"));
  end(found.at("http://a/3"), completed());
  end(found.at("http://a/4"), failed("again"));
  BOOST_TEST(reconciled().failed == 3);
  BOOST_TEST(!progress().finished()); // the last one will be tried again
  BOOST_TEST(reconciled().failed == 3);
  at.remove(found.at("http://a/4"));
  BOOST_TEST(reconciled().failed == 4);
  BOOST_TEST(progress().finished());
  std::set<std::string> errors;
  for (const auto& item : items().items)
    errors.insert(item.error);
  BOOST_TEST(errors == (std::set<std::string>{"", "cancelled", "broken", "completed", "deleted"}),
             boost::test_tools::per_element());
  BOOST_CHECK_EXCEPTION(at.ask(db::reconcile_query(job_id{999})), refused, is_not_found);
}

BOOST_AUTO_TEST_CASE(pages_of_items_ascend_without_gaps) {
  open();
  record_pages many;
  for (int i = 1; i <= 25; ++i)
    many.pages.push_back(page(job_id{1000 + (i * 7) % 26}, "http://a/" + std::to_string(i)));
  record(many);
  std::vector<std::int64_t> seen;
  job_id after;
  for (auto part = items(after, 10); !part.items.empty(); part = items(after, 10)) {
    for (const auto& item : part.items)
      seen.push_back(item.page.value);
    after = part.items.back().page;
  }
  BOOST_TEST(seen.size() == 25U);
  BOOST_TEST(std::is_sorted(seen.begin(), seen.end()));
  BOOST_TEST(std::set(seen.begin(), seen.end()).size() == 25U);
}

BOOST_AUTO_TEST_CASE(several_crawls_share_a_record) {
  open();
  const auto one = crawl;
  const auto first = pages().at("http://a/");
  const auto a = page(first, "http://a/", {"http://a/1"});
  open({.url = "http://b/", .selectors = {}});
  const auto b = page(pages().at("http://b/"), "http://b/", {"http://b/1", "http://a/1"});
  BOOST_TEST(record({{b, a}}));
  BOOST_TEST(progress().pages == 3);
  crawl = one;
  BOOST_TEST(progress().pages == 2);
}

BOOST_AUTO_TEST_SUITE_END()
