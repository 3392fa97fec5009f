// History that is past its age is dropped by whole partitions, and whatever is not past it stays
// and stays workable.
#include "db/retention_statements.hpp"
#include "tests/db/two_nodes.hpp"

#include <atomic>
#include <mutex>
#include <thread>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct history : two_nodes {
  static constexpr std::int64_t begin = 10'000'001; ///< of the first small partition

  history() {
    database.exec("select setval('troupe.job_id_seq', 10000000)");
    database.exec("select troupe.make_partitions(1000, 5)");
    database.exec("delete from troupe.partition where what = 'jobs' and low < 10000001");
  }
  std::vector<job_id> completed_jobs(int count, const std::string& queue = "default") {
    const auto ids = at.enqueue(std::vector<job_spec>(static_cast<std::size_t>(count),
                                                      job_spec{.kind = "noop", .queue = queue}));
    for (const auto& batch : at.drain(100, queue))
      at.finish(batch);
    return ids;
  }
  void make_all_old(int days = 8) const {
    const auto since = " = now() - interval '" + std::to_string(days) + " days'";
    database.exec("update troupe.attempt set finished_at" + since);
    database.exec("update troupe.job set created_at" + since);
  }
  /// Ids go on above the partition.
  void leave(std::int64_t low = begin) const {
    database.exec("select setval('troupe.job_id_seq', " + std::to_string(low + 1000) + ")");
  }
  void retain(const std::string& ages) const {
    database.exec("select troupe.retain(" + ages + ")");
  }
  /// Steps until one ends a partition, or there is nothing to be done.
  expired_jobs expire() {
    for (;;) {
      auto done = at.expire();
      if (done.step != "cut" && done.step != "sealed" && done.step != "looked")
        return done;
    }
  }
  /// Steps until the next one is to put something in the place of the partition.
  void come_to_the_swap() {
    while (at.expire().step != "looked")
      ;
  }
  /// Everything again, at once.
  void forget_when_to_look() const {
    database.exec("update troupe.partition set look_at = '-infinity'");
  }
  bool is_there(std::int64_t low = begin) const {
    return database.value("select to_regclass('troupe.job_" + std::to_string(low)
                          + "') is not null")
           == "t";
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(retention, history)

BOOST_AUTO_TEST_CASE(a_partition_whose_jobs_are_past_their_ages_is_dropped_whole) {
  const auto ids = completed_jobs(200);
  leave();
  make_all_old(6);
  BOOST_TEST(expire().step == "");
  make_all_old(8);
  const auto done = expire();
  BOOST_TEST(done.step == "dropped");
  BOOST_TEST(done.low == begin);
  BOOST_TEST(done.dropped == 200);
  BOOST_TEST(done.kept == 0);
  BOOST_TEST(!is_there());
  BOOST_TEST(count("attempt") == 0);
  BOOST_TEST(!at.find(ids.front()).has_value());
  BOOST_CHECK_EXCEPTION(at.retry(ids.front()), refused, is_not_found);
  BOOST_TEST(at.list({}).jobs.empty());
  BOOST_TEST(expire().step == "");
  BOOST_TEST(completed_jobs(20).size() == 20U);
}

BOOST_AUTO_TEST_CASE(ages_are_by_the_end_of_a_job_and_by_its_queue) {
  const auto of = [&](const std::string& queue) {
    const auto ids = at.enqueue(
        std::vector<job_spec>(3, job_spec{.kind = "noop", .queue = queue, .max_attempts = 1}));
    at.cancel(ids[1]);
    const auto batch = at.claim(1, queue);
    at.finish(batch, failed("no"));
    for (const auto& rest : at.drain(100, queue))
      at.finish(rest);
    return ids;
  };
  completed_jobs(300);
  const auto usual = of("default"), own = of("own"), ever = of("ever");
  leave();
  make_all_old(5);
  retain("'4 days', '6 days', null");
  retain("'6 days', '4 days', '4 days', 'own'");
  retain("null, null, null, 'ever'");
  const auto kept = [&](const std::vector<job_id>& ids) {
    std::string states;
    for (const auto id : ids)
      if (at.find(id))
        states += at.state(id) + " ";
    return states;
  };
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST(kept(usual) == "discarded cancelled ");
  BOOST_TEST(kept(own) == "completed ");
  BOOST_TEST(kept(ever) == "discarded cancelled completed ");
  database.exec("select troupe.retain_as_others('ever')");
  database.exec("select troupe.retain_as_others('own')");
  retain("'1 day', '1 day', '1 day'");
  BOOST_TEST(expire().step == "dropped");
  BOOST_TEST(count("job") == 0);
}

BOOST_AUTO_TEST_CASE(jobs_of_every_state_that_are_not_final_stay_and_can_be_worked_on) {
  completed_jobs(300);
  const auto waits = at.enqueue(), reopened = at.enqueue(), cancelled = at.enqueue();
  at.cancel(reopened);
  at.retry(reopened);
  const auto later = at.enqueue(job_spec{.kind = "noop", .delay = std::chrono::hours{1}});
  const auto retried = at.enqueue(job_spec{.kind = "noop", .queue = "again"});
  at.finish(at.claim(1, "again"), failed("once"));
  const auto runs = at.enqueue(job_spec{.kind = "noop", .queue = "long"});
  const auto batch = at.claim(1, "long");
  const auto told = at.enqueue(job_spec{.kind = "noop", .queue = "told"});
  const auto going = at.claim(1, "told");
  at.cancel(told); // its node goes on with it
  at.cancel(cancelled);
  database.exec("select troupe.log(" + std::to_string(batch.lease.value) + ", "
                + std::to_string(runs.value) + ", 1, 'half way')");
  database.exec("select troupe.report_progress(" + std::to_string(batch.lease.value) + ", "
                + std::to_string(runs.value) + ", 1, 50)");
  leave();
  make_all_old();
  const auto done = expire();
  BOOST_TEST(done.step == "moved");
  BOOST_TEST(done.kept == 6);
  BOOST_TEST(done.dropped == 301);
  BOOST_TEST(is_there());
  BOOST_TEST(at.state(waits) == "available");
  BOOST_TEST(at.state(reopened) == "available");
  BOOST_TEST(at.state(later) == "scheduled");
  BOOST_TEST(at.state(retried) == "retryable");
  BOOST_TEST(at.get(retried).attempts.size() == 1U);
  BOOST_TEST(at.state(runs) == "running");
  BOOST_TEST(at.state(told) == "cancelled");
  BOOST_TEST(!at.find(cancelled).has_value());
  BOOST_TEST(count("job_log") == 1);
  BOOST_TEST(count("progress") == 1);
  BOOST_TEST((everything(at) == std::multiset<std::int64_t>{waits.value, reopened.value}));
  BOOST_TEST(at.finish(batch).fenced.empty());
  BOOST_TEST(at.state(runs) == "completed");
  at.retry(runs);
  BOOST_TEST(everything(at, "long").count(runs.value) == 1U);
  let_time_pass();
  at.promote();
  BOOST_TEST(everything(at, "again").count(retried.value) == 1U);
  at.finish(going);
  at.remove(told);
  BOOST_TEST(!at.find(told).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_left_is_dropped_when_it_has_ended_too) {
  completed_jobs(300);
  const auto waits = at.enqueue();
  leave();
  make_all_old();
  BOOST_TEST(expire().step == "moved");
  for (const auto& batch : at.drain(100))
    at.finish(batch);
  BOOST_TEST(expire().step == "");
  forget_when_to_look();
  BOOST_TEST(expire().step == "waits"); // it has ended just now
  make_all_old();
  forget_when_to_look();
  BOOST_TEST(expire().step == "dropped");
  BOOST_TEST(!at.find(waits).has_value());
  BOOST_TEST(!is_there());
}

BOOST_AUTO_TEST_CASE(a_partition_of_which_more_than_a_tenth_is_to_be_kept_stays_as_it_is) {
  completed_jobs(80);
  const auto waiting = at.enqueue_many(9);
  leave();
  make_all_old();
  BOOST_TEST(expire().step == "waits");
  at.cancel(waiting.front());
  make_all_old();
  BOOST_TEST(expire().step == ""); // not at once again
  forget_when_to_look();
  const auto done = expire();
  BOOST_TEST(done.step == "moved");
  BOOST_TEST(done.kept == 8);
  BOOST_TEST(done.dropped == 81);
}

BOOST_AUTO_TEST_CASE(a_retry_while_the_partition_is_looked_through_is_not_lost) {
  const auto ids = completed_jobs(300);
  leave();
  make_all_old();
  come_to_the_swap();
  other.retry(ids[7]);
  BOOST_TEST(expire().step == "again");
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST((everything(at) == std::multiset<std::int64_t>{ids[7].value}));
}

BOOST_AUTO_TEST_CASE(a_delete_of_one_that_was_to_be_kept_is_not_undone) {
  completed_jobs(300);
  const auto waits = at.enqueue();
  leave();
  make_all_old();
  come_to_the_swap();
  other.remove(waits);
  BOOST_TEST(expire().step == "again");
  BOOST_TEST(expire().step == "dropped");
  BOOST_TEST(!at.find(waits).has_value());
}

BOOST_AUTO_TEST_CASE(a_job_that_comes_late_into_a_partition_stays) {
  completed_jobs(300);
  leave();
  make_all_old();
  come_to_the_swap();
  database.exec("insert into troupe.job (id, queue, kind) values (10000900, 'default', 'noop')");
  BOOST_TEST(expire().step == "again");
  make_all_old();
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST(at.state(job_id{10'000'900}) == "available");
}

BOOST_AUTO_TEST_CASE(ages_that_change_meanwhile_count) {
  completed_jobs(300);
  leave();
  make_all_old();
  come_to_the_swap();
  retain("'30 days', null, null");
  BOOST_TEST(expire().step == "");
  BOOST_TEST(count("job") == 300);
}

BOOST_AUTO_TEST_CASE(ages_that_change_while_a_step_is_carried_out_count) {
  completed_jobs(300);
  leave();
  make_all_old();
  while (at.expire().step != "sealed")
    ;
  at.begin();
  BOOST_TEST(at.expire().step == "looked");
  other.send(db::make_query("select troupe.retain('30 days', null, null)"));
  BOOST_TEST(other.waits(database));
  at.commit();
  other.later();
  BOOST_TEST(expire().step == "");
  BOOST_TEST(count("job") == 300);
}

BOOST_AUTO_TEST_CASE(an_open_reader_or_writer_delays_the_drop_and_nobody_else) {
  const auto ids = completed_jobs(300);
  leave();
  make_all_old();
  come_to_the_swap();
  other.begin();
  other.find(ids.front());
  BOOST_TEST(expire().step == "busy");
  BOOST_TEST(is_there());
  BOOST_TEST(completed_jobs(20).size() == 20U);
  other.retry(ids.front());
  forget_when_to_look();
  come_to_the_swap();
  BOOST_TEST(expire().step == "busy");
  other.commit();
  forget_when_to_look();
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST(at.state(ids.front()) == "available");
}

BOOST_AUTO_TEST_CASE(a_step_that_is_rolled_back_leaves_everything_as_it_was) {
  const auto ids = completed_jobs(300);
  const auto waits = at.enqueue();
  leave();
  make_all_old();
  come_to_the_swap();
  at.begin();
  BOOST_TEST(at.expire().step == "moved");
  at.rollback();
  BOOST_TEST(at.state(ids.front()) == "completed");
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST(at.state(waits) == "available");
}

BOOST_AUTO_TEST_CASE(a_job_stays_while_its_unique_key_is_in_the_way_of_others) {
  const std::string rule = R"({"states": ["completed"], "period_ms": 86400000000})";
  const auto put = [&] {
    return std::stoll(database.value("select troupe.enqueue('noop', unique_by => '" + rule
                                     + "', queue => 'one')"));
  };
  const job_id one{put()};
  completed_jobs(300);
  for (const auto& batch : at.drain(100, "one"))
    at.finish(batch);
  leave();
  make_all_old();
  BOOST_TEST(expire().step == "moved");
  BOOST_TEST(at.state(one) == "completed");
  BOOST_CHECK_THROW(put(), std::exception);
  database.exec("update troupe.unique_job set ends_at = now() - interval '2 hours'");
  forget_when_to_look();
  BOOST_TEST(expire().step == "dropped");
  BOOST_TEST(put() > one.value);
}

BOOST_AUTO_TEST_CASE(pages_of_an_open_crawl_stay_with_it) {
  completed_jobs(300);
  const auto crawl = at.enqueue(job_spec{.kind = "noop", .queue = "crawls"});
  crawl_spec spec;
  spec.url = "http://a.test/";
  at.ask(db::open_crawl_query({crawl, spec}));
  const auto page = at.claim(1, "scrape.pages");
  at.finish(page);
  leave();
  make_all_old();
  BOOST_TEST(expire().kept == 2);
  BOOST_TEST(at.state(page.jobs.at(0)->id) == "completed");
  at.cancel(crawl); // closes it
  make_all_old();
  forget_when_to_look();
  BOOST_TEST(expire().step == "dropped");
}

BOOST_AUTO_TEST_CASE(ids_go_on_in_the_next_partition_once_a_day) {
  const auto first = at.enqueue();
  BOOST_TEST(at.expire().step == "");
  make_all_old(2);
  other.begin();
  const auto late = other.enqueue();
  BOOST_TEST(at.expire().step == ""); // a writer may hold more ids of this one
  other.commit();
  BOOST_TEST(late.value < begin + 1000);
  BOOST_TEST(at.expire().step == "cut");
  BOOST_TEST(at.expire().step == "");
  const auto next = at.enqueue();
  BOOST_TEST(next.value > begin + 1000);
  BOOST_TEST(next.value < begin + 1003);
  BOOST_TEST(at.keep_up().partitions_made == 0); // four were made
  BOOST_TEST((everything(at) == std::multiset<std::int64_t>{first.value, late.value, next.value}));
}

BOOST_AUTO_TEST_CASE(ages_that_make_no_sense_are_refused) {
  desk& asked = at;
  for (const auto* ages : {"'-1 day', null, null", "null, '4000 days', null",
                           "null, null, null, 'no queue'", "null, null, null, ''"})
    BOOST_CHECK_EXCEPTION(
        asked.ask(db::make_query("select troupe.retain(" + std::string(ages) + ")")), refused,
        is_invalid);
  database.exec("delete from troupe.retention where queue = 'x'");
  retain("null, null, null");
  completed_jobs(20);
  leave();
  make_all_old(3000);
  BOOST_TEST(expire().step == "");
}

// No job is lost and none runs twice while partitions go beside claims, retries and new jobs.
BOOST_AUTO_TEST_CASE(what_is_kept_and_how_far_the_cleaning_is_can_be_told) {
  using std::chrono::hours;
  const auto now = [&] { return db::decode_retention(at.ask(db::retention_query())); };
  auto told = now();
  BOOST_REQUIRE(told.ages.size() == 1U);
  BOOST_TEST(told.ages[0].queue.empty());
  BOOST_TEST((told.ages[0].completed == hours{7 * 24}));
  BOOST_TEST(!told.more_queues);
  BOOST_TEST(!told.oldest_job.has_value());
  BOOST_TEST(!told.last_drop.has_value());
  BOOST_TEST(!told.looking.has_value());
  retain("'1 hour', null, '0', 'mail'");
  const auto ids = completed_jobs(200);
  leave();
  make_all_old();
  come_to_the_swap();
  told = now();
  BOOST_REQUIRE(told.ages.size() == 2U);
  BOOST_TEST(told.ages[1].queue == "mail");
  BOOST_TEST((told.ages[1].completed == hours{1}));
  BOOST_TEST(!told.ages[1].cancelled.has_value());
  BOOST_TEST((told.ages[1].discarded == hours{0}));
  BOOST_TEST((told.oldest_job == at.get(ids.front()).created_at));
  BOOST_REQUIRE(told.looking.has_value());
  BOOST_TEST(told.looking->ids.first.value == begin);
  BOOST_TEST(told.looking->to >= ids.back());
  const auto before = told.partitions;
  BOOST_TEST(expire().step == "dropped");
  told = now();
  BOOST_TEST(!told.looking.has_value());
  BOOST_TEST(told.partitions == before - 1);
  BOOST_REQUIRE(told.last_drop.has_value());
  BOOST_TEST(told.last_drop->ids.first.value == begin);
  BOOST_TEST(told.last_drop->ids.last.value == begin + 999);
  BOOST_TEST(told.last_drop->dropped == 200);
  BOOST_TEST(told.last_drop->kept == 0);
}

BOOST_AUTO_TEST_CASE(
    what_stays_is_told_with_when_it_is_looked_at_again_and_old_drops_are_forgotten) {
  completed_jobs(100);
  leave();
  at.enqueue_many(1);
  database.exec("update troupe.attempt set finished_at = now() - interval '8 days' "
                "where job_id % 2 = 0");
  database.exec("update troupe.job set created_at = now() - interval '8 days'");
  BOOST_TEST(expire().step == "waits");
  const auto told = db::decode_retention(at.ask(db::retention_query()));
  BOOST_TEST(told.next_look.has_value());
  database.exec("insert into troupe.expiry (low, high, dropped, kept) "
                "select i, i + 1, 0, 0 from generate_series(1, 150) i");
  make_all_old();
  forget_when_to_look();
  BOOST_TEST(expire().step == "dropped");
  BOOST_TEST(count("expiry") == 100);
}

BOOST_AUTO_TEST_CASE(beside_work_every_job_is_handed_out_once) {
  constexpr int rounds = 40, each = 100;
  retain("'0', '0', '0'");
  std::mutex guard;
  std::multiset<std::int64_t> wanted, given;
  std::atomic<bool> writing{true};
  std::atomic<std::size_t> fenced{0};
  int ended = 0;
  {
    std::vector<std::jthread> threads;
    threads.emplace_back([&] {
      desk mine(database.url());
      for (int round = 0; round < rounds; ++round) {
        const auto ids = set_of(insist([&] { return mine.enqueue_many(each); }));
        const std::scoped_lock lock(guard);
        wanted.insert(ids.begin(), ids.end());
      }
      writing = false;
    });
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&, i] {
        desk mine(database.url());
        mine.join("claimer" + std::to_string(i));
        for (bool more = true; more || writing;) {
          const auto batch = insist([&] { return mine.claim(30); });
          more = !batch.jobs.empty();
          if (!more)
            continue;
          fenced += insist([&] { return mine.finish(batch); }).fenced.size();
          const std::scoped_lock lock(guard);
          for (const auto& run : batch.jobs)
            given.insert(run->id.value);
        }
      });
    threads.emplace_back([&] {
      desk mine(database.url());
      while (writing) {
        insist([&] { return mine.keep_up(); });
        const auto step = insist([&] { return mine.expire(); }).step;
        ended += step == "dropped" || step == "moved";
        forget_when_to_look();
      }
    });
  }
  BOOST_TEST(fenced == 0U);
  given.merge(everything(at));
  BOOST_TEST(difference(given, wanted) == "");
  for (int i = 0; i < 100 && ended < 2; ++i) {
    const auto step = at.expire().step;
    ended += step == "dropped" || step == "moved";
    forget_when_to_look();
  }
  BOOST_TEST(ended >= 2);
}

BOOST_AUTO_TEST_SUITE_END()
