// Counts by queue and state, which nobody counts: after whatever happens they are what the jobs
// are. Random operations of every kind beside a count of all jobs after each of them; the seed is
// said, TROUPE_SEED repeats it.
#include "db/bulk_statements.hpp"
#include "tests/db/counts_desk.hpp"

#include <array>
#include <functional>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const std::array<std::string, 4> queue_names{"plain", "keys", "few", "line"};

struct busy_node {
  explicit busy_node(const std::string& url) : at(url) { at.join(); }

  desk at;
  std::vector<claimed_jobs> batches; ///< whose runs are not all ended
};

struct counts_play : jobs_database {
  explicit counts_play(unsigned seed) : random(seed) {
    for (int i = 0; i < 2; ++i)
      nodes.push_back(std::make_unique<busy_node>(database.url()));
    // Ids in partitions of 100, so that history is dropped, too.
    database.exec("select setval('troupe.job_id_seq', 10000001);"
                  "select troupe.make_partitions(100, 6);"
                  "delete from troupe.partition where what = 'jobs' and low < 10000001");
    at.limit_keys(2, "keys");
    at.order(true, "line");
    at.join();
  }

  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }
  std::string some_queue() { return queue_names[static_cast<std::size_t>(pick(4))]; }
  busy_node& some_node() { return *nodes[static_cast<std::size_t>(pick(2))]; }
  job_id some_job() {
    return jobs.empty() ? job_id{1} : jobs[static_cast<std::size_t>(pick(int(jobs.size())))];
  }
  void note(const std::vector<job_id>& ids) { jobs.insert(jobs.end(), ids.begin(), ids.end()); }

  job_spec some_spec() {
    job_spec one{.kind = "noop", .queue = some_queue(), .priority = pick(2)};
    one.max_attempts = 1 + pick(3);
    if (pick(3) == 0)
      one.delay = std::chrono::milliseconds{pick(2) * 3'600'000};
    if (pick(2) == 0)
      one.limit_key = std::string(1, static_cast<char>('a' + pick(3)));
    if (pick(4) == 0)
      one.retry = pick(2) == 0 ? retry_policy::none() : retry_policy{};
    return one;
  }
  std::vector<job_spec> some_specs() {
    std::vector<job_spec> specs(static_cast<std::size_t>(1 + pick(8)), some_spec());
    if (pick(2) == 0)
      for (auto& spec : specs)
        spec = some_spec();
    return specs;
  }
  void enqueue() { note(at.enqueue(some_specs())); }
  void enqueue_here() {
    auto spec = some_spec();
    spec.delay.reset();
    auto& node = some_node();
    const auto here = node.at.enqueue_here(std::vector(1 + random() % 3, spec));
    note(here.stored.ids);
    if (!here.claimed.jobs.empty())
      node.batches.push_back(here.claimed);
  }
  void enqueue_unique() {
    enqueue_jobs asked;
    for (int i = 1 + pick(3); i > 0; --i) {
      auto spec = some_spec();
      spec.args = R"({"n":)" + std::to_string(pick(4)) + "}";
      spec.unique = unique_rule{.args = true, .conflict = static_cast<on_conflict>(pick(3))};
      asked.jobs.push_back(spec);
      // One statement holds a key once.
      asked.parts.push_back({1, i == 1 && pick(2) == 0 ? "key " + std::to_string(pick(20)) : ""});
    }
    const auto told = put(at, asked);
    for (std::size_t i = 0; i < told.fates.size(); ++i)
      if (told.fates[i] == enqueue_fate::created)
        note({told.ids[i]});
  }
  void open_writer() { // it ends some steps later
    if (!writes) {
      late.begin();
      writes = true;
    }
    note(late.enqueue(some_specs()));
  }
  void end_writer() {
    if (!writes)
      return;
    pick(3) == 0 ? late.rollback() : late.commit();
    writes = false;
  }
  void roll_back() {
    at.begin();
    at.enqueue(some_specs());
    const auto batch = at.claim(3, "plain");
    if (!batch.jobs.empty())
      at.finish(batch);
    at.ask(db::query{db::make_query("select troupe.fold_tallies()")});
    at.enqueue(some_specs());
    pick(2) == 0 ? at.rollback() : at.commit();
  }

  void claim() {
    auto& node = some_node();
    auto batch = node.at.claim(1 + pick(6), some_queue());
    if (!batch.jobs.empty())
      node.batches.push_back(std::move(batch));
  }
  job_result some_result() {
    switch (pick(6)) {
    case 0:
      return failed("again");
    case 1:
      return discarded("no");
    case 2:
      return snoozed(1h);
    default:
      return completed();
    }
  }
  void finish() {
    auto& node = some_node();
    if (node.batches.empty())
      return;
    finish_runs what{node.at.node, {}, {}, {}};
    const bool plain = pick(2) == 0;
    for (auto& batch : node.batches) { // of several leases and queues in one
      for (int i = pick(static_cast<int>(batch.jobs.size()) + 1); i > 0; --i) {
        what.runs.push_back(ended(batch, *batch.jobs.back(), plain ? completed() : some_result()));
        batch.jobs.pop_back();
      }
      if (batch.jobs.empty())
        what.done.push_back(batch.lease);
    }
    node.at.finish(what);
    if (pick(5) == 0) // the answer was lost
      node.at.finish(what);
    std::erase_if(node.batches, [](const claimed_jobs& batch) { return batch.jobs.empty(); });
  }
  void finish_by_hand() {
    auto& node = some_node();
    if (node.batches.empty())
      return;
    auto& batch = node.batches.back();
    const auto run = batch.jobs.back();
    const auto id = pick(3) == 0 ? some_job() : run->id; // which it may not have
    // Without a time of its own the job's policy says when it comes again, and whether.
    at.ask(db::make_query("select troupe.finish($1, $2, $3, $4::int, $5, retry_ms => $6)",
                          node.at.node.value, batch.lease.value, id.value, run->attempt,
                          std::string{pick(2) == 0 ? "completed" : "failed"},
                          pick(2) == 0 ? std::optional<std::int64_t>{0} : std::nullopt));
    if (id == run->id)
      batch.jobs.pop_back();
    std::erase_if(node.batches, [](const claimed_jobs& one) { return one.jobs.empty(); });
  }
  void die() {
    auto& node = some_node();
    make_old(node.at.node);
    at.rescue(node.at.node);
    if (pick(2) == 0)
      node.batches.clear(); // otherwise its late outcomes come
    node.at.join();
  }
  void promote() {
    database.exec(
        "update troupe.deferred set due_at = now() - interval '1 second' where job_id % 2 = "
        + std::to_string(pick(2)));
    at.promote(1 + pick(10));
  }
  void change_limit() {
    at.limit_keys(pick(2) == 0 ? std::nullopt : std::optional{1 + pick(3)}, "keys");
  }
  void change_order() { at.order(pick(2) == 0, "line"); }
  bulk_request some_bulk() {
    static constexpr std::array ends{job_state::completed, job_state::cancelled,
                                     job_state::discarded, job_state::retryable};
    bulk_request what{static_cast<bulk_action>(pick(5))};
    if (pick(3) == 0)
      for (int i = 1 + pick(12); i > 0; --i)
        what.ids.push_back(some_job());
    else {
      if (what.action == bulk_action::retry)
        what.filter.state = ends[static_cast<std::size_t>(pick(4))];
      if (pick(3) > 0)
        what.filter.queue = some_queue();
      else
        what.filter.limit_key = "a";
    }
    if (what.action == bulk_action::move)
      what.to_queue = some_queue();
    if (what.action == bulk_action::reprioritise || (what.to_queue && pick(2) == 0))
      what.to_priority = pick(3);
    return what;
  }
  void bulk() { // what is not done by these steps goes on by later ones
    at.ask(db::start_bulk_query({some_bulk()}));
    for (int i = 1 + pick(4); i > 0; --i) {
      const auto step = db::decode_stepped(at.ask(db::step_bulk_query(1 + pick(10))));
      BOOST_TEST(step.error == "");
      stepped += step.changed;
    }
  }
  void edit() {
    edit_job what{some_job()};
    if (pick(2) == 0)
      what.queue = some_queue();
    if (pick(2) == 0)
      what.priority = pick(3);
    if (pick(2) == 0 || (!what.queue && !what.priority))
      what.run_at.emplace(pick(2) == 0 ? std::nullopt : std::optional{in_an_hour()});
    at.ask(db::edit_query(what));
    ++edited;
  }
  void crawl() {
    const auto crawl = at.enqueue(job_spec{.kind = "scrape", .queue = "plain"});
    at.ask(db::open_crawl_query({crawl, {.url = "http://a/", .selectors = {}}}));
    auto pages = at.claim(10, page_queue);
    for (const auto& run : pages.jobs) {
      page_outcome page;
      page.crawl = crawl;
      page.page = run->id;
      page.url = "http://a/";
      page.discovered = {"http://a/1", "http://a/2", "http://a/3"};
      at.ask(db::record_query({{page}}));
    }
    if (!pages.jobs.empty() && pick(2) == 0)
      at.finish(pages, pick(2) == 0 ? completed() : snoozed(1h));
    if (pick(2) == 0)
      at.ask(db::close_query(crawl));
  }
  void expire() {
    if (pick(2) == 0) { // or nearly always too much is alive in each partition, or held
      end_writer();
      bulk_request all{bulk_action::cancel};
      all.all = true;
      at.ask(db::start_bulk_query({all}));
      while (db::decode_stepped(at.ask(db::step_bulk_query())).id != 0)
        ;
    }
    database.exec("update troupe.attempt set finished_at = now() - interval '8 days';"
                  "update troupe.job set created_at = now() - interval '8 days';"
                  "update troupe.partition set look_at = '-infinity';"
                  "select troupe.make_partitions(100, 6)");
    for (int i = 0; i < 12; ++i) {
      const auto done = at.expire();
      dropped += done.dropped;
      if (done.step.empty())
        return;
    }
  }
  void fold() {
    if (pick(2) == 0)
      at.keep_up();
    else
      database.exec("select troupe.fold_tally('" + some_queue() + "', "
                    + std::to_string(1 + pick(3)) + ")");
  }

  /// What is refused changes nothing.
  void attempt(const std::function<void()>& what) {
    try {
      what();
    } catch (const refused& no) {
      if (no.why.code != errc::conflict && no.why.code != errc::not_found)
        BOOST_FAIL(no.why.statement << ": " << no.why.message);
    }
  }
  void one_step() {
    using step = std::pair<int, std::function<void()>>;
    const std::array<step, 21> steps{{{5, [&] { enqueue(); }},
                                      {2, [&] { enqueue_here(); }},
                                      {4, [&] { enqueue_unique(); }},
                                      {2, [&] { open_writer(); }},
                                      {1, [&] { end_writer(); }},
                                      {1, [&] { roll_back(); }},
                                      {8, [&] { claim(); }},
                                      {6, [&] { finish(); }},
                                      {2, [&] { finish_by_hand(); }},
                                      {4, [&] { at.cancel(some_job()); }},
                                      {3, [&] { at.remove(some_job()); }},
                                      {4, [&] { at.retry(some_job()); }},
                                      {2, [&] { die(); }},
                                      {3, [&] { promote(); }},
                                      {1, [&] { change_limit(); }},
                                      {1, [&] { change_order(); }},
                                      {5, [&] { bulk(); }},
                                      {4, [&] { edit(); }},
                                      {1, [&] { crawl(); }},
                                      {2, [&] { expire(); }},
                                      {3, [&] { fold(); }}}};
    int at_step = pick(64);
    for (const auto& [weight, act] : steps)
      if ((at_step -= weight) < 0) {
        return attempt(act);
      }
  }
  /// Which jobs a claim gets is chance, and so is what can be done to them.
  bool has_met_all() const { return dropped > 12 && stepped > 12 && edited > 1; }
  std::string wrong() const { return database.value(wrong_counts); }

  std::mt19937 random;
  desk late{database.url()};
  bool writes = false;
  std::vector<std::unique_ptr<busy_node>> nodes;
  std::vector<job_id> jobs;
  std::int64_t dropped = 0, stepped = 0, edited = 0;
};

struct counted : jobs_database {
  std::string wrong() const { return database.value(wrong_counts); }
  std::string told(const std::string& queue = "default") const {
    return database.value("select (c.scheduled, c.available, c.running, c.retryable, c.completed,"
                          " c.cancelled, c.discarded) from troupe.counts('"
                          + queue + "') c");
  }
};

} // namespace

BOOST_AUTO_TEST_CASE(after_whatever_happens_the_counts_are_what_the_jobs_are) {
  std::int64_t dropped = 0, stepped = 0, edited = 0;
  const auto first = first_seed();
  for (unsigned seed = first; seed < first + 2; ++seed)
    BOOST_TEST_CONTEXT("seed " << seed) {
      counts_play one(seed);
      for (int i = 0; i < 300 || (i < 3000 && !one.has_met_all()); ++i) {
        one.one_step();
        const auto wrong = one.wrong();
        BOOST_REQUIRE_MESSAGE(wrong.empty(), "step " << i << ": " << wrong);
      }
      one.end_writer();
      one.at.keep_up();
      BOOST_TEST(one.wrong() == "");
      BOOST_TEST(one.count("tally") == 0);
      BOOST_TEST(one.database.value("select troupe.recount()") == "0");
      dropped += one.dropped;
      stepped += one.stepped;
      edited += one.edited;
    }
  BOOST_TEST(dropped > 25);
  BOOST_TEST(stepped > 25);
  BOOST_TEST(edited > 2);
}

BOOST_FIXTURE_TEST_SUITE(counts, counted)

BOOST_AUTO_TEST_CASE(each_queue_has_a_count_of_each_state) {
  at.enqueue_many(7);
  at.enqueue(std::vector(3, job_spec{.kind = "noop", .delay = 1h}));
  at.cancel(at.enqueue());
  at.finish(at.claim_one());
  at.finish(at.claim_one(), failed("x"));
  at.finish(at.claim_one(), discarded("x"));
  at.claim_one();
  BOOST_TEST(told() == "(3,3,1,1,1,1,1)");
  BOOST_TEST(database.value("select count(*) from troupe.counts('nothing')") == "0");
  at.pause("empty");
  BOOST_TEST(told("empty") == "(0,0,0,0,0,0,0)");
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_CASE(what_a_writer_that_was_open_tells_later_counts_whatever_was_folded_meanwhile) {
  at.enqueue();
  desk late(database.url()), reader(database.url());
  late.begin();
  late.enqueue_many(5);
  for (int i = 0; i < 3; ++i) {
    at.enqueue_many(2);
    at.keep_up();
  }
  BOOST_TEST(count("tally") == 0);
  BOOST_TEST(told() == "(0,7,0,0,0,0,0)");
  reader.begin();
  reader.ask(db::make_query("set transaction isolation level repeatable read"));
  const auto ask = db::make_query("select available from troupe.counts('default')");
  BOOST_TEST(reader.ask(ask).one().get<std::int64_t>(0) == 7);
  late.enqueue_many(3);
  late.commit();
  BOOST_TEST(told() == "(0,15,0,0,0,0,0)");
  at.keep_up();
  at.enqueue();
  BOOST_TEST(told() == "(0,16,0,0,0,0,0)");
  BOOST_TEST(reader.ask(ask).one().get<std::int64_t>(0) == 7);
  reader.commit();
  BOOST_TEST(database.value("select open = '{}' from troupe.tally_base") == "t");
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_CASE(who_folds_does_not_wait_for_writers_nor_they_for_it) {
  at.enqueue();
  at.keep_up();
  at.enqueue();
  desk folder(database.url()), late(database.url());
  late.begin();
  late.enqueue();
  folder.begin();
  const auto folded = folder.ask(db::make_query("select troupe.fold_tallies()"));
  BOOST_TEST(folded.one().get<std::int64_t>(0) == 1);
  at.enqueue();
  at.finish(at.claim_one());
  BOOST_TEST(at.keep_up().partitions_made == 0); // passes what is being folded by
  BOOST_TEST(told() == "(0,2,0,0,1,0,0)");
  folder.commit();
  late.commit();
  BOOST_TEST(told() == "(0,3,0,0,1,0,0)");
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_CASE(a_held_snapshot_does_not_make_reading_slower) {
  desk holder(database.url());
  holder.begin();
  holder.ask(db::make_query("set transaction isolation level repeatable read"));
  holder.ask(db::make_query("select count(*) from troupe.job"));
  for (int i = 0; i < 30; ++i) {
    for (int j = 0; j < 100; ++j)
      at.enqueue();
    at.keep_up();
  }
  // Rows that are gone are still there for the holder, and are not looked at.
  at.ask(db::make_query("select troupe.tallied('default')")); // plans are made
  const auto pages_read = [&] {
    return at
        .ask(db::make_query(
            "select sum(pg_stat_get_xact_blocks_fetched(c.oid))::bigint from pg_class c"
            " where c.relname in ('tally', 'tally_queue')"))
        .one()
        .get<std::int64_t>(0);
  };
  at.begin();
  const auto before = pages_read();
  const auto jobs = at.ask(db::make_query("select (troupe.tallied('default')).jobs"));
  BOOST_TEST(jobs.one().get<std::int64_t>(0) == 3000);
  BOOST_TEST(pages_read() - before < 20);
  at.commit();
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_CASE(a_late_outcome_of_a_job_that_was_deleted_counts_for_nothing) {
  at.enqueue_many(2);
  const auto batch = at.claim(2);
  BOOST_REQUIRE(batch.jobs.size() == 2U);
  for (const auto& run : batch.jobs) {
    at.cancel(run->id);
    at.remove(run->id);
  }
  BOOST_TEST(told() == "(0,0,0,0,0,0,0)");
  at.finish(batch);
  BOOST_TEST(told() == "(0,0,0,0,0,0,0)");
  BOOST_TEST(at.list({}).jobs.empty());
  BOOST_TEST(database.value("select troupe.recount()") == "0");
}

BOOST_AUTO_TEST_CASE(counts_of_a_restored_database_whose_ids_lie_ahead_are_kept) {
  at.enqueue_many(5);
  at.keep_up();
  at.finish(at.claim_one());
  database.exec("update troupe.tally set xact = (xact::text::bigint + 1000000)::text::xid8;"
                "update troupe.tally_base set xact = (xact::text::bigint + 1000000)::text::xid8");
  at.join("one");
  at.enqueue_many(3);
  BOOST_TEST(told() == "(0,7,0,0,1,0,0)");
  at.keep_up();
  at.finish(at.claim_one());
  BOOST_TEST(told() == "(0,6,0,0,2,0,0)");
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_CASE(a_recount_appends_what_is_wrong_and_nothing_else) {
  at.enqueue_many(5);
  at.keep_up();
  at.finish(at.claim_one());
  at.enqueue(job_spec{.kind = "noop", .delay = 1h});
  BOOST_TEST(database.value("select troupe.recount()") == "0");
  database.exec("update troupe.tally_base set jobs = jobs + 3, discarded = 2;"
                "delete from troupe.tally where state = 5");
  BOOST_TEST(wrong() != "");
  BOOST_TEST(database.value("select troupe.recount()") == "3");
  BOOST_TEST(told() == "(1,4,0,0,1,0,0)");
  at.keep_up();
  BOOST_TEST(wrong() == "");
}

BOOST_AUTO_TEST_SUITE_END()
