// RECORDER over a CRAWL STORE that the test answers for: pages gather, known links stay out, a
// refused page stands alone, every callback comes once.
#include "actors/recorder.hpp"
#include "tests/actors/deterministic_system.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

using records = inbox<record_pages, recorded_pages>;
using crawl_double_impl = crawl_store_actor::extend<caf::reacts_to<act>>;

crawl_double_impl::behavior_type crawl_double(crawl_double_impl::pointer self,
                                              std::shared_ptr<records> in) {
  const auto no = [](const auto&) -> caf::result<crawl_progress> {
    return make_error(errc::internal, "not asked here");
  };
  return {
      [=](const open_crawl& ask) { return no(ask); },
      [](const get_crawl_spec&) -> caf::result<crawl_spec> { return make_error(errc::internal); },
      [=](const record_pages& ask) -> caf::result<recorded_pages> {
        auto given = self->make_response_promise<recorded_pages>();
        in->waiting.push_back({ask, given});
        ++in->seen;
        return given;
      },
      [=](const get_crawl_progress& ask) { return no(ask); },
      [=](const close_crawl& ask) { return no(ask); },
      [](const list_items&) -> caf::result<item_page> { return make_error(errc::internal); },
      [](const act& what) { (*what)(); },
  };
}

struct recording : deterministic_system {
  std::shared_ptr<records> in = std::make_shared<records>();
  std::shared_ptr<executor_notes> notes = std::make_shared<executor_notes>();
  crawl_double_impl store = spawn(crawl_double, in);
  recorder_actor one =
      spawn(recorder, crawl_store_actor{store}, executor_actor{spawn(executor_double, notes)});
  std::map<std::string, std::vector<result_or<crawl_progress>>> replies;

  void record(const std::string& url, std::vector<std::string> links = {}, int depth = 0,
              std::int64_t crawl = 1) {
    page_outcome page;
    page.crawl = job_id{crawl};
    page.url = url;
    page.depth = depth;
    page.discovered = std::move(links);
    caf::anon_send(one, std::make_shared<page_to_record>(page_to_record{
                            std::move(page), [this, url](result_or<crawl_progress> said) {
                              replies[url].push_back(std::move(said));
                            }}));
    run();
  }
  template<class Answer>
  void answer(Answer what) {
    BOOST_REQUIRE(!in->empty());
    auto promise = std::move(in->waiting.front().answer);
    in->waiting.pop_front();
    caf::anon_send(store, std::make_shared<std::function<void()>>(
                              [promise, what]() mutable { promise.deliver(what); }));
    run();
  }
  void stored(bool queued = false, std::int64_t pages = 100) {
    recorded_pages said;
    for (const auto& page : in->front().pages) {
      crawl_progress progress;
      progress.crawl = page.crawl;
      progress.pages = pages;
      progress.fetched = 3;
      said.crawls.push_back(progress);
    }
    said.queued = queued;
    answer(std::move(said));
  }
  std::vector<std::string> asked_links() const { return in->front().pages.at(0).discovered; }
};

using texts = std::vector<std::string>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(records_of_pages, recording)

BOOST_AUTO_TEST_CASE(pages_gather_while_a_batch_is_being_stored_and_each_is_answered_once) {
  record("a");
  record("b");
  record("c");
  BOOST_TEST(in->size() == 1U);
  stored(true);
  BOOST_TEST(notes->wakes == texts{page_queue}, boost::test_tools::per_element());
  BOOST_TEST(in->front().pages.size() == 2U);
  stored();
  BOOST_TEST(notes->wakes.size() == 1U);
  BOOST_TEST(in->empty());
  for (const auto* url : {"a", "b", "c"}) {
    BOOST_REQUIRE(replies[url].size() == 1U);
    BOOST_TEST(std::get<crawl_progress>(replies[url][0]).pages == 100);
  }
}

BOOST_AUTO_TEST_CASE(a_batch_is_bounded) {
  record("first");
  for (std::size_t i = 0; i < recorder_state::max_batch + 10; ++i)
    record(std::to_string(i));
  stored();
  BOOST_TEST(in->front().pages.size() == recorder_state::max_batch);
  stored();
  BOOST_TEST(in->front().pages.size() == 10U);
}

BOOST_AUTO_TEST_CASE(links_that_were_recorded_are_left_out_of_later_pages_of_that_crawl) {
  record("a", {"x", "y"});
  BOOST_TEST(asked_links() == (texts{"x", "y"}), boost::test_tools::per_element());
  stored();
  record("b", {"y", "z"});
  BOOST_TEST(asked_links() == texts{"z"}, boost::test_tools::per_element());
  stored();
  record("c", {"y"}, 0, 2); // another crawl knows nothing of it
  BOOST_TEST(asked_links() == texts{"y"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_link_seen_deep_down_is_offered_again_from_nearer_the_start) {
  record("deep", {"x"}, 5);
  stored();
  record("as deep", {"x"}, 5);
  BOOST_TEST(asked_links().empty());
  stored();
  record("near", {"x"}, 1); // the crawl's depth may have refused it before
  BOOST_TEST(asked_links() == texts{"x"}, boost::test_tools::per_element());
  stored();
  record("middle", {"x"}, 3);
  BOOST_TEST(asked_links().empty());
}

BOOST_AUTO_TEST_CASE(links_of_a_refused_page_are_not_taken_for_known) {
  record("a", {"x"});
  answer(make_error(errc::unavailable, "down"));
  BOOST_REQUIRE(replies["a"].size() == 1U);
  BOOST_TEST(std::get<failure>(replies["a"][0]).code == errc::unavailable);
  record("a again", {"x"});
  BOOST_TEST(asked_links() == texts{"x"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_refused_page_stands_alone_and_the_others_are_stored) {
  record("first");
  for (const auto* url : {"good 1", "bad", "good 2"})
    record(url);
  stored();
  answer(make_error(errc::invalid_argument, "22P02"));
  for (int i = 0; i < 3; ++i) {
    BOOST_REQUIRE(in->front().pages.size() == 1U);
    if (in->front().pages[0].url == "bad")
      answer(make_error(errc::invalid_argument, "22P02"));
    else
      stored();
  }
  BOOST_TEST(in->empty());
  for (const auto* url : {"first", "good 1", "bad", "good 2"})
    BOOST_TEST(replies[url].size() == 1U);
  BOOST_TEST(std::get<failure>(replies["bad"][0]).code == errc::invalid_argument);
  BOOST_TEST(std::holds_alternative<crawl_progress>(replies["good 2"][0]));
}

BOOST_AUTO_TEST_CASE(a_crawl_that_is_gone_is_told_as_not_found) {
  record("a");
  answer(recorded_pages{});
  BOOST_TEST(std::get<failure>(replies["a"].at(0)).code == errc::not_found);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_store_is_told_to_all_that_wait) {
  record("a");
  record("b");
  answer(make_error(errc::stopping, "the engine is stopping"));
  answer(make_error(errc::stopping, "the engine is stopping"));
  caf::anon_send_exit(store, caf::exit_reason::kill);
  record("c");
  for (const auto* url : {"a", "b", "c"}) {
    BOOST_REQUIRE(replies[url].size() == 1U);
    BOOST_TEST(std::get<failure>(replies[url][0]).code == errc::stopping);
  }
}

BOOST_AUTO_TEST_SUITE_END()
