// Operations on jobs with keys of all sorts, and what they leave in the lanes.
#include "tests/db/bulk_desk.hpp"

using namespace troupe;
using namespace troupe::tests;

BOOST_FIXTURE_TEST_SUITE(bulk_keys, bulk_desk)

BOOST_AUTO_TEST_CASE(a_move_into_a_key_that_another_job_has_is_passed_by) {
  const auto put_in = [&](const std::string& queue, bool by_queue, const std::string& args = "{}") {
    return at.enqueue({.kind = "only",
                       .queue = queue,
                       .args = args,
                       .unique = unique_rule{.queue = by_queue, .args = true}});
  };
  const auto there = put_in("elsewhere", true);
  const auto collides = put_in("default", true);
  const auto first = put_in("default", true, "[1]");
  const auto free_key = put_in("default", false, "[2]"); // its key is the same in any queue
  const auto third = put_in("third", true, "[1]");
  auto what = of_queue(bulk_action::move);
  what.filter = {.kind = "only"};
  const auto made = all_of(what);
  BOOST_TEST(made.matched == 4);
  BOOST_TEST(made.changed == 2);
  BOOST_TEST(made.skipped == 2);
  BOOST_TEST(at.get(there).queue == "elsewhere");
  BOOST_TEST(at.get(collides).queue == "default");
  BOOST_TEST(at.get(first).queue == "elsewhere"); // of two with one key the first
  BOOST_TEST(at.get(third).queue == "third");
  BOOST_TEST(at.get(free_key).queue == "elsewhere");
  // Whose key is whose now?
  const auto meets = [&](const std::string& queue, const std::string& args) {
    const auto fate = put(at, {.kind = "only",
                               .queue = queue,
                               .args = args,
                               .unique = unique_rule{.queue = true, .args = true}});
    if (fate.fate == enqueue_fate::created)
      at.remove(fate.id);
    return fate.fate == enqueue_fate::created ? job_id{} : fate.id;
  };
  BOOST_TEST((meets("elsewhere", "[1]") == first));
  BOOST_TEST((meets("default", "[1]") == job_id{}));
  BOOST_TEST((meets("third", "[1]") == third));
  BOOST_TEST((meets("elsewhere", "{}") == there));
  BOOST_TEST((meets("default", "{}") == collides));
  BOOST_TEST(database.value("select count(*) from troupe.unique_key where job_id = 0") == "0");
}

BOOST_AUTO_TEST_CASE(a_key_whose_rule_is_not_known_is_not_moved) {
  const auto id = at.enqueue({.kind = "only", .unique = unique_rule{}});
  database.exec("update troupe.unique_job set rule = null"); // from before it was kept
  BOOST_TEST(all_of(of_queue(bulk_action::move)).skipped == 1);
  BOOST_CHECK_EXCEPTION(edit({.id = id, .queue = "elsewhere"}), refused, is_conflict);
  edit({.id = id, .priority = 4});
  BOOST_TEST(at.get(id).priority == 4);
}

BOOST_AUTO_TEST_CASE(of_many_that_are_retried_one_takes_the_key) {
  std::vector<job_id> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(put(at, unique_job()).id);
    at.cancel(ids.back());
  }
  const auto made = all_of(of_queue(bulk_action::retry));
  BOOST_TEST(made.matched == 5);
  BOOST_TEST(made.changed == 1);
  BOOST_TEST(at.state(ids.front()) == "available");
  BOOST_TEST(put(at, unique_job()).id.value == ids.front().value);
  BOOST_TEST(all_of(of_queue(bulk_action::retry)).changed == 0);
  const auto gone = all_of({.action = bulk_action::remove, .filter = {.queue = "default"}});
  BOOST_TEST(gone.changed == 5);
  BOOST_TEST(count("unique_key") == 0);
  BOOST_TEST(count("unique_job") == 0);
}

BOOST_AUTO_TEST_CASE(jobs_set_aside_for_their_key_are_met_as_others) {
  at.limit_keys(1);
  const auto ids = at.enqueue_keyed(30, "a");
  const auto one = at.claim(10);
  BOOST_TEST(one.jobs.size() == 1U);
  BOOST_TEST(count("parked") > 20);
  const auto moved = all_of(of_queue(bulk_action::move), 7);
  BOOST_TEST(moved.matched == 29);
  BOOST_TEST(moved.changed == 29);
  BOOST_TEST(count("parked") == 0);
  BOOST_TEST(at.finish(one).fenced.empty());
  BOOST_TEST(at.claim(10).jobs.empty());
  auto rest = set_of(ids);
  rest.erase(one.jobs[0]->id.value);
  BOOST_TEST(everything(at, "elsewhere") == rest);
}

BOOST_AUTO_TEST_CASE(moved_into_a_queue_with_limited_keys_they_are_limited_there) {
  at.limit_keys(2, "elsewhere");
  at.enqueue_keyed(10, "a");
  BOOST_TEST(all_of(of_queue(bulk_action::move)).changed == 10);
  const auto first = at.claim(10, "elsewhere");
  BOOST_TEST(first.jobs.size() == 2U);
  std::size_t ran = 2;
  at.finish(first);
  for (auto batch = at.claim(10, "elsewhere"); !batch.jobs.empty();
       batch = at.claim(10, "elsewhere")) {
    BOOST_TEST(batch.jobs.size() <= 2U);
    ran += batch.jobs.size();
    at.finish(batch);
  }
  BOOST_TEST(ran == 10U);
}

BOOST_AUTO_TEST_CASE(a_cancelled_crawl_takes_its_pages_along) {
  const auto crawl = at.enqueue();
  crawl_spec spec;
  spec.url = "http://a.test/";
  at.ask(db::open_crawl_query({crawl, spec}));
  BOOST_TEST(all_of(of_queue(bulk_action::cancel)).changed == 1);
  BOOST_TEST(database.value("select closed from troupe.crawl") == "t");
  BOOST_TEST(at.claim(10, "scrape.pages").jobs.empty());
}

BOOST_AUTO_TEST_CASE(claims_pass_by_any_number_of_revoked_entries_piece_by_piece) {
  database.exec("do $$ begin for i in 1..25 loop perform troupe.enqueue_many(array_fill('k'::text, "
                "array[1000]), array_fill('default'::text, array[1000]), array_fill('{}'::jsonb, "
                "array[1000]), array_fill(0::smallint, array[1000])); end loop; end $$");
  BOOST_TEST(all_of(of_queue(bulk_action::cancel)).changed == 25000);
  const auto behind = at.enqueue();
  int claims = 0;
  claimed_jobs got;
  do {
    got = at.claim(100);
    ++claims;
    if (got.jobs.empty())
      BOOST_TEST(got.again.value_or(false)); // and the engine asks again at once
  } while (got.jobs.empty() && claims < 10);
  BOOST_REQUIRE_EQUAL(got.jobs.size(), 1U);
  BOOST_TEST(got.jobs[0]->id.value == behind.value);
  BOOST_TEST(claims == 3);
  BOOST_TEST(at.drain().empty()); // what is left of them in other lanes
  BOOST_TEST(count("revoked") == 0);
}

BOOST_AUTO_TEST_CASE(revocations_that_no_cursor_will_meet_are_dropped_and_others_kept) {
  at.enqueue_many(20);
  const auto held = other.claim(3);
  BOOST_TEST(all_of(of_queue(bulk_action::cancel)).changed == 20);
  BOOST_TEST(count("revoked") == 20);
  BOOST_TEST(at.keep_up().revocations_dropped == 0);
  BOOST_TEST(everything(at).empty());
  BOOST_TEST(count("revoked") == 3);
  BOOST_TEST(at.keep_up().revocations_dropped == 0); // their node has yet to hear of it
  BOOST_TEST(other.beat().cancelled.size() == 3U);
  other.finish(held);
  BOOST_TEST(at.keep_up().revocations_dropped == 3);
}

BOOST_AUTO_TEST_SUITE_END()
