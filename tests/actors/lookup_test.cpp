// LOOKUP over a STORE that the test answers for: what is asked together goes together, everybody
// gets the job he asked for, and nobody fails for another's sake. Who asks for a page gets one that
// was read after he asked.
#include "actors/lookup.hpp"
#include "tests/actors/deterministic_system.hpp"

#include <map>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct looking_up : store_system {
  lookup_actor one =
      spawn(lookup,
            lookup_options{
                .max_flights = 2, .flight_jobs = 3, .max_waiting = 6, .max_waiting_searches = 3},
            store);
  using told = std::map<std::string, std::variant<failure, job_record>>;
  /// Shared: who is left unanswered hears of it when the system ends, after us.
  std::shared_ptr<told> replies = std::make_shared<told>();

  void ask(const std::string& who, std::int64_t id, bool args = true) {
    sys.spawn([who, id, args, to = one, replies = replies](caf::event_based_actor* self) {
      self->request(to, caf::infinite, get_job{job_id{id}, args})
          .then(
              [=](job_record& job) {
                replies->insert({who, std::move(job)});
              },
              [=](caf::error& why) {
                replies->insert({who, to_failure(why)});
              });
    });
    run();
  }
  /// What came of pages: the id of the first job, or 0 when it was refused.
  std::shared_ptr<std::map<std::string, std::int64_t>> pages =
      std::make_shared<std::map<std::string, std::int64_t>>();

  void ask_page(const std::string& who, const list_jobs& page) {
    sys.spawn([who, page, to = one, pages = pages](caf::event_based_actor* self) {
      self->request(to, caf::infinite, page)
          .then(
              [=](const job_page& found) {
                pages->insert({who, found.jobs.front().id.value});
              },
              [=](const caf::error&) {
                pages->insert({who, 0});
              });
    });
    run();
  }
  static list_jobs page_of(const std::string& queue) {
    list_jobs page;
    page.filter.queue = queue;
    return page;
  }
  static list_jobs search_of(const std::string& tag) {
    list_jobs page;
    page.filter.tags = {tag};
    return page;
  }
  using first_jobs = std::map<std::string, std::int64_t>;

  static job_record job(std::int64_t id) {
    job_record found;
    found.id = job_id{id};
    found.queue = "of " + std::to_string(id);
    return found;
  }
  static found_jobs jobs(const std::vector<std::int64_t>& ids) {
    found_jobs found;
    for (const auto id : ids)
      found.jobs.push_back(job(id));
    return found;
  }
  std::int64_t got(const std::string& who) const {
    BOOST_REQUIRE(replies->count(who) == 1U);
    const auto* found = std::get_if<job_record>(&replies->at(who));
    BOOST_REQUIRE(found != nullptr);
    BOOST_TEST(found->queue == "of " + std::to_string(found->id.value));
    return found->id.value;
  }
  errc refused(const std::string& who) const {
    BOOST_REQUIRE(replies->count(who) == 1U);
    const auto* why = std::get_if<failure>(&replies->at(who));
    BOOST_REQUIRE(why != nullptr);
    return why->code;
  }
  std::vector<std::int64_t> flying() const {
    std::vector<std::int64_t> ids;
    for (const auto id : in->several_gets.front().ids)
      ids.push_back(id.value);
    return ids;
  }
  /// So many that every flight is on its way: of jobs 1 and 2.
  void fill() {
    ask("first", 1);
    ask("second", 2);
    BOOST_REQUIRE(in->gets.size() == 2U);
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(lookups, looking_up)

BOOST_AUTO_TEST_CASE(args_are_read_for_who_wants_them) {
  ask("one without", 1, false);
  BOOST_TEST(!in->gets.front().args);
  ask("second", 2);
  BOOST_TEST(in->gets.waiting.at(1).ask.args);
  ask("without", 3, false);
  ask("with", 4);
  ask("without first", 5, false);
  ask("and then with", 5);
  answer(in->gets, job(1));
  BOOST_TEST(flying() == (std::vector<std::int64_t>{3, 4, 5}), boost::test_tools::per_element());
  const auto& brief = in->several_gets.front().brief;
  BOOST_REQUIRE(brief.size() == 1U);
  BOOST_TEST(brief.front().value == 3);
}

BOOST_AUTO_TEST_CASE(while_there_are_flights_left_a_question_goes_out_at_once) {
  fill();
  answer(in->gets, job(1));
  BOOST_TEST(got("first") == 1);
  BOOST_TEST(replies->count("second") == 0U);
}

BOOST_AUTO_TEST_CASE(what_comes_meanwhile_goes_together_and_each_gets_his_own) {
  fill();
  for (const auto id : {5, 7, 6})
    ask(std::to_string(id), id);
  BOOST_TEST(in->several_gets.empty());
  answer(in->gets, job(1));
  BOOST_TEST(flying() == (std::vector<std::int64_t>{5, 7, 6}), boost::test_tools::per_element());
  answer(in->several_gets, jobs({7, 6, 5}));
  for (const auto id : {5, 6, 7})
    BOOST_TEST(got(std::to_string(id)) == id);
}

BOOST_AUTO_TEST_CASE(one_flight_holds_no_more_jobs_than_its_bound_but_a_job_counts_once) {
  fill();
  ask("a", 5);
  ask("b", 6);
  ask("also a", 5);
  ask("c", 7);
  ask("d", 8);
  answer(in->gets, job(1));
  BOOST_TEST(flying() == (std::vector<std::int64_t>{5, 6, 7}), boost::test_tools::per_element());
  answer(in->several_gets, jobs({5, 6, 7}));
  BOOST_TEST(got("also a") == 5);
  BOOST_TEST(in->gets.size() == 2U); // the second one's, and that of job 8 alone
}

BOOST_AUTO_TEST_CASE(several_that_ask_for_the_same_job_share_one_question) {
  fill();
  ask("a", 5);
  ask("b", 5);
  answer(in->gets, job(1));
  BOOST_TEST(in->several_gets.empty());
  answer(in->gets, job(2));
  answer(in->gets, job(5));
  BOOST_TEST(got("a") == 5);
  BOOST_TEST(got("b") == 5);
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_said_to_him_alone_who_asked) {
  fill();
  ask("a", 5);
  ask("b", 6);
  answer(in->gets, job(1));
  answer(in->several_gets, jobs({6}));
  BOOST_TEST(refused("a") == errc::not_found);
  BOOST_TEST(got("b") == 6);
}

BOOST_AUTO_TEST_CASE(a_flight_that_fails_for_what_it_read_is_asked_one_by_one) {
  fill();
  ask("a", 5);
  ask("b", 6);
  answer(in->gets, job(1));
  answer(in->gets, job(2));
  refuse(in->several_gets, errc::too_large);
  BOOST_REQUIRE(in->gets.size() == 2U);
  refuse(in->gets, errc::too_large);
  answer(in->gets, job(6));
  BOOST_TEST(refused("a") == errc::too_large);
  BOOST_TEST(got("b") == 6);
}

BOOST_AUTO_TEST_CASE(without_a_database_all_are_refused) {
  fill();
  ask("a", 5);
  ask("b", 6);
  answer(in->gets, job(1));
  refuse(in->several_gets, errc::unavailable);
  BOOST_TEST(refused("a") == errc::unavailable);
  BOOST_TEST(refused("b") == errc::unavailable);
  BOOST_TEST(in->gets.size() == 1U);
}

BOOST_AUTO_TEST_CASE(more_than_may_wait_are_refused) {
  fill();
  for (int i = 0; i < 7; ++i)
    ask(std::to_string(i), 10 + i);
  BOOST_TEST(refused("6") == errc::overloaded);
  BOOST_TEST(replies->size() == 1U);
}

BOOST_AUTO_TEST_CASE(who_asks_for_a_page_on_its_way_waits_for_the_next_reading) {
  for (const auto* who : {"a", "b", "c"})
    ask_page(who, page_of("mail"));
  BOOST_TEST(in->lists.size() == 1U);
  answer(in->lists, job_page{{job(1)}, {}});
  BOOST_TEST((*pages == first_jobs{{"a", 1}}));
  ask_page("d", page_of("mail"));
  BOOST_TEST(in->lists.size() == 1U); // that of b and c
  answer(in->lists, job_page{{job(2)}, {}});
  BOOST_TEST((*pages == first_jobs{{"a", 1}, {"b", 2}, {"c", 2}}));
  answer(in->lists, job_page{{job(3)}, {}});
  BOOST_TEST(pages->at("d") == 3);
  BOOST_TEST(in->lists.empty());
}

BOOST_AUTO_TEST_CASE(other_pages_do_not_wait) {
  auto shorter = page_of("mail");
  shorter.limit = 1;
  auto later = page_of("mail");
  later.before = job_id{7};
  ask_page("a", page_of("mail"));
  ask_page("b", page_of("other"));
  ask_page("c", shorter);
  ask_page("d", later);
  BOOST_TEST(in->lists.size() == 4U);
  for (const auto id : {1, 2, 3, 4})
    answer(in->lists, job_page{{job(id)}, {}});
  BOOST_TEST((*pages == first_jobs{{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}}));
}

BOOST_AUTO_TEST_CASE(two_searches_are_read_at_once_and_the_others_in_their_turn) {
  for (const auto* who : {"a", "b", "c", "d"})
    ask_page(who, search_of(who));
  ask_page("c too", search_of("c")); // it has not left yet
  ask_page("a again", search_of("a"));
  BOOST_TEST(in->lists.size() == 2U);
  ask_page("mail", page_of("mail")); // is held up by none of them
  BOOST_TEST(in->lists.size() == 3U);
  for (const auto id : {1, 2, 3, 4, 5, 6}) {
    BOOST_TEST(in->lists.size() <= 3U);
    answer(in->lists, job_page{{job(id)}, {}});
  }
  BOOST_TEST(
      (*pages
       == first_jobs{
           {"a", 1}, {"b", 2}, {"mail", 3}, {"c", 4}, {"c too", 4}, {"d", 5}, {"a again", 6}}));
}

BOOST_AUTO_TEST_CASE(no_more_searches_wait_than_their_bound) {
  for (int i = 1; i <= 6; ++i) // two are read, three wait
    ask_page(std::to_string(i), search_of(std::to_string(i)));
  BOOST_TEST((*pages == first_jobs{{"6", 0}}));
  refuse(in->lists, errc::unavailable);
  BOOST_TEST(pages->at("1") == 0);
  ask_page("7", search_of("7"));
  BOOST_TEST(!pages->contains("7"));
  for (int i = 0; i < 5; ++i)
    answer(in->lists, job_page{{job(9)}, {}});
  BOOST_TEST(pages->at("7") == 9);
  BOOST_TEST(in->lists.empty());
}

BOOST_AUTO_TEST_CASE(a_page_that_fails_is_read_again_for_who_asked_meanwhile) {
  ask_page("a", page_of("mail"));
  ask_page("b", page_of("mail"));
  refuse(in->lists, errc::unavailable);
  BOOST_TEST((*pages == first_jobs{{"a", 0}}));
  answer(in->lists, job_page{{job(2)}, {}});
  BOOST_TEST(pages->at("b") == 2);
}

BOOST_AUTO_TEST_CASE(no_more_wait_for_pages_than_their_bound) {
  for (int i = 0; i < 8; ++i) // one flies, six wait
    ask_page(std::to_string(i), page_of("mail"));
  BOOST_TEST((*pages == first_jobs{{"7", 0}}));
  answer(in->lists, job_page{{job(1)}, {}});
  answer(in->lists, job_page{{job(2)}, {}});
  BOOST_TEST(pages->size() == 8U);
  ask_page("again", page_of("mail"));
  BOOST_TEST(in->lists.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
