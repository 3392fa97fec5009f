// Operations on many jobs and edits, where the job is the head of an ordered queue: it holds its
// place, or leaves it, and is handed out once.
#include "db/bulk_statements.hpp"
#include "tests/db/counts_desk.hpp"
#include "tests/db/ordered_desk.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

struct many_in_order : in_order {
  void all_of(bulk_request what) {
    at.ask(db::start_bulk_query({std::move(what)}));
    for (;;) {
      const auto step = db::decode_stepped(at.ask(db::step_bulk_query(100)));
      BOOST_TEST(step.error == "");
      if (step.id == 0)
        return;
    }
  }
  void edit(edit_job what) { at.ask(db::edit_query(what)); }
  /// A head that waits for its next attempt, or may have it; with two behind it.
  std::vector<job_id> failed_head(bool is_due) {
    const auto ids = one_by_one(3);
    at.finish(gives(ids[0]), failed("no"));
    if (is_due)
      due();
    return ids;
  }
  void nothing_is_left() {
    nobody();
    BOOST_TEST(at.queue()->waiting == 0);
    BOOST_TEST(database.value(wrong_counts) == "");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(ordered_bulk, many_in_order)

BOOST_AUTO_TEST_CASE(a_head_that_is_retried_with_others_comes_once_and_before_them) {
  const auto ids = failed_head(false);
  nobody();
  bulk_request what{bulk_action::retry};
  what.filter.queue = "default";
  what.filter.state = job_state::retryable;
  all_of(what);
  BOOST_TEST(at.queue()->waiting == 3);
  complete(ids);
  nothing_is_left();
}

BOOST_AUTO_TEST_CASE(a_head_that_had_ended_and_is_retried_goes_to_the_end_of_the_line) {
  const auto ids = one_by_one(3);
  const auto batch = gives(ids[0]);
  at.cancel(ids[0]);
  bulk_request what{bulk_action::retry};
  what.ids = {ids[0]};
  all_of(what);
  nobody(); // its node still has what is left of it
  at.finish(batch);
  complete({ids[1], ids[2], ids[0]});
  nothing_is_left();
}

BOOST_AUTO_TEST_CASE(a_head_of_another_priority_is_next_all_the_same) {
  for (const bool is_due : {false, true}) {
    const auto ids = failed_head(is_due);
    bulk_request what{bulk_action::reprioritise};
    what.ids = {ids[0]};
    what.to_priority = 5;
    all_of(what);
    if (!is_due) {
      nobody();
      due();
    }
    complete(ids);
    nothing_is_left();
  }
}

BOOST_AUTO_TEST_CASE(a_head_that_is_moved_away_lets_the_next_one_start_and_runs_there) {
  for (const bool is_due : {false, true}) {
    const auto ids = failed_head(is_due);
    bulk_request what{bulk_action::move};
    what.ids = {ids[0]};
    what.to_queue = "elsewhere";
    all_of(what);
    complete({ids[1], ids[2]});
    due();
    nothing_is_left();
    BOOST_TEST(at.queue("elsewhere")->waiting == 1);
    const auto there = at.claim(10, "elsewhere");
    BOOST_REQUIRE(there.jobs.size() == 1U);
    BOOST_TEST(there.jobs.at(0)->id == ids[0]);
    at.finish(there);
    BOOST_TEST(at.claim(10, "elsewhere").jobs.empty());
  }
}

BOOST_AUTO_TEST_CASE(a_head_that_is_put_off_by_an_edit_holds_its_place) {
  const auto ids = failed_head(true);
  edit({.id = ids[0], .run_at = in_an_hour()});
  nobody();
  BOOST_TEST(at.queue()->waiting == 2);
  edit({.id = ids[0], .run_at = std::optional<timestamp>{}});
  complete(ids);
  nothing_is_left();
}

BOOST_AUTO_TEST_CASE(a_head_that_is_put_off_in_another_queue_leaves_its_place) {
  const auto ids = failed_head(true);
  edit({.id = ids[0], .queue = "elsewhere", .run_at = in_an_hour()});
  complete({ids[1], ids[2]});
  nothing_is_left();
  due();
  const auto there = at.claim(10, "elsewhere");
  BOOST_REQUIRE(there.jobs.size() == 1U);
  BOOST_TEST(there.jobs.at(0)->id == ids[0]);
}

BOOST_AUTO_TEST_CASE(heads_that_are_deleted_or_cancelled_let_the_next_one_start) {
  for (const auto action : {bulk_action::remove, bulk_action::cancel})
    for (const bool is_due : {false, true}) {
      const auto ids = failed_head(is_due);
      bulk_request what{action};
      what.ids = {ids[0]};
      all_of(what);
      complete({ids[1], ids[2]});
      nothing_is_left();
    }
}

BOOST_AUTO_TEST_SUITE_END()
