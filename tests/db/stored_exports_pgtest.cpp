// Exports that are kept: their bounds, the fences of their runs, the bytes of their files, and what
// is swept. A seeded model of runs that die, end and are deleted stands beside the examples;
// TROUPE_SEED repeats it.
#include "db/stored_export_statements.hpp"
#include "tests/db/desk.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t chunk = static_cast<std::int64_t>(limits::export_chunk);
const std::string sum(64, 'a');

/// Bytes that tell where they come from.
std::string text_of(std::size_t size, unsigned seed) {
  std::mt19937 random{seed};
  std::string out(size, '\0');
  for (auto& c : out)
    c = static_cast<char>(random());
  return out;
}

struct keeping : jobs_database {
  export_bounds bounds;

  started_export start(const std::string& key = {}, export_order order = {}) {
    return db::decode_started_export(at.ask(db::start_export_query(order, key, bounds)));
  }
  job_id make() { return start().id; }
  chunk_fate put(job_id id, int attempt, int nth, const std::string& bytes) {
    return db::decode_chunk_fate(at.ask(db::put_export_query(id, attempt, nth, bytes, bounds)));
  }
  chunk_fate put_all(job_id id, int attempt, const std::string& text) {
    auto fate = chunk_fate::kept;
    for (std::size_t i = 0; i * limits::export_chunk < text.size() && fate == chunk_fate::kept; ++i)
      fate = put(id, attempt, static_cast<int>(i),
                 text.substr(i * limits::export_chunk, limits::export_chunk));
    return fate;
  }
  static stored_file file_of(int attempt, const std::string& text) {
    return {attempt, static_cast<std::int64_t>(text.size()), 3, sum, {}, {}};
  }
  /// As a run does it: false when it was fenced.
  bool keep(const claimed_jobs& claim, const std::string& text) {
    at.begin();
    at.ask(db::keep_export_query(claim.jobs.at(0)->id, file_of(claim.jobs.at(0)->attempt, text),
                                 bounds));
    const bool mine = at.finish(claim).fenced.empty();
    mine ? at.commit() : at.rollback();
    return mine;
  }
  claimed_jobs claim() { return at.claim_one(export_queue); }
  export_record find(job_id id) {
    auto page = db::decode_exports(at.ask(db::find_export_query(id)), 1);
    BOOST_REQUIRE_EQUAL(page.exports.size(), 1U);
    return page.exports.front();
  }
  bool is_there(job_id id) {
    return !db::decode_exports(at.ask(db::find_export_query(id)), 1).exports.empty();
  }
  export_page list(const list_exports& ask) {
    return db::decode_exports(at.ask(db::exports_query(ask)), ask.limit);
  }
  std::optional<std::string> bytes(job_id id, int attempt, std::int64_t from, int limit) {
    return db::decode_export_bytes(at.ask(db::read_export_query(id, attempt, from, limit)));
  }
  std::string read(job_id id, const stored_file& file, std::int64_t begin, int limit) {
    std::string all;
    while (begin + static_cast<std::int64_t>(all.size()) < file.bytes) {
      const auto some =
          bytes(id, file.attempt, begin + static_cast<std::int64_t>(all.size()), limit);
      if (!some || some->empty())
        return all + "(missing)";
      all += *some;
    }
    return all;
  }
  int sweep(int most = 400) const {
    return std::stoi(database.value("select troupe.sweep_exports(" + std::to_string(most) + ")"));
  }
  int chunks_of(job_id id) const {
    return std::stoi(database.value("select count(*) from troupe.export_chunk where job_id = "
                                    + std::to_string(id.value)));
  }
  /// One that is finished, with this text.
  job_id make_file(const std::string& text) {
    const auto id = make();
    const auto run = claim();
    put_all(id, 1, text);
    BOOST_TEST(keep(run, text));
    return id;
  }
  void expire(job_id id) const {
    database.exec("update troupe.export set expires_at = now() where job_id = "
                  + std::to_string(id.value));
  }
  /// Its run's node dies, and the next attempt may run.
  void lose(const claimed_jobs&) {
    const auto dead = at.node;
    make_old(dead);
    at.join("next");
    at.rescue(dead);
  }
};

unsigned seed_of_this_run() {
  const char* given = std::getenv("TROUPE_SEED");
  return given != nullptr ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(stored_exports, keeping)

BOOST_AUTO_TEST_CASE(what_is_asked_for_comes_back_and_a_file_is_read_in_any_parts) {
  const timestamp then{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1} + 1us};
  const export_order order{{{job_state::completed,
                             "mail",
                             "echo",
                             {"a,b", "\"'\\"},
                             "k",
                             then,
                             then + 1h,
                             R"({"n": [1, "'"]})"},
                            export_format::csv,
                            7},
                           true};
  const auto id = start({}, order).id;
  auto one = find(id);
  BOOST_TEST((one.state == job_state::available));
  BOOST_TEST(one.order.gzip);
  BOOST_TEST((one.order.what.format == export_format::csv));
  BOOST_TEST((one.order.what.filter == order.what.filter));
  BOOST_TEST(one.order.what.limit.value() == 7);
  BOOST_TEST(!one.file);
  const auto run = claim();
  BOOST_TEST(run.jobs.at(0)->kind == export_kind);
  const auto asked = db::decode_export_order(at.ask(db::begin_export_query(id, 1)));
  BOOST_REQUIRE(asked.has_value());
  BOOST_TEST((asked->what.filter == order.what.filter));
  const auto text = text_of(2 * limits::export_chunk + 12'345, 1);
  BOOST_TEST((put_all(id, 1, text) == chunk_fate::kept));
  BOOST_TEST(!find(id).file);
  BOOST_TEST(keep(run, text));
  one = find(id);
  BOOST_TEST((one.state == job_state::completed));
  BOOST_REQUIRE(one.file.has_value());
  BOOST_TEST(one.file->bytes == static_cast<std::int64_t>(text.size()));
  BOOST_TEST(one.file->rows == 3);
  BOOST_TEST(one.file->sha256 == sum);
  BOOST_TEST((one.file->expires_at - one.file->finished_at == 24h));
  for (const std::int64_t from : {std::int64_t{0}, chunk - 1, chunk, chunk + 1, 2 * chunk + 12'344})
    for (const int limit : {1000, 65'536, 1 << 20})
      BOOST_TEST((read(id, *one.file, from, limit) == text.substr(static_cast<std::size_t>(from))));
  BOOST_TEST(!bytes(id, 2, 0, 10).has_value());
  BOOST_TEST(sweep() == 0);
  BOOST_TEST((read(id, *one.file, 0, 65'536) == text));
}

BOOST_AUTO_TEST_CASE(an_empty_file_is_a_file) {
  const auto id = make_file("");
  BOOST_TEST(find(id).file.value().bytes == 0);
}

BOOST_AUTO_TEST_CASE(a_file_that_lacks_a_chunk_is_refused) {
  const auto id = make();
  const auto run = claim();
  const auto text = text_of(limits::export_chunk + 1, 2);
  put(id, 1, 0, text.substr(0, limits::export_chunk));
  BOOST_CHECK_EXCEPTION(keep(run, text), refused, is_conflict);
  at.rollback();
  BOOST_TEST(!find(id).file);
}

BOOST_AUTO_TEST_CASE(a_late_run_writes_nothing_more_and_makes_no_file) {
  const auto id = make();
  const auto first = claim();
  const auto old_node = at.node;
  const auto text = text_of(1000, 3);
  const auto other = text_of(2000, 4);
  BOOST_TEST((put_all(id, 1, text) == chunk_fate::kept));
  lose(first);
  BOOST_TEST(!db::decode_export_order(at.ask(db::begin_export_query(id, 1))).has_value());
  BOOST_TEST((put(id, 1, 1, "late") == chunk_fate::late));
  const auto second = claim();
  BOOST_TEST(second.jobs.at(0)->attempt == 2);
  BOOST_TEST((put_all(id, 2, other) == chunk_fate::kept));
  const auto new_node = std::exchange(at.node, old_node);
  BOOST_TEST(!keep(first, text));
  at.node = new_node;
  BOOST_TEST(!find(id).file);
  BOOST_TEST(sweep() == 1); // of the lost attempt, and none of the one that runs
  BOOST_TEST(sweep() == 0);
  BOOST_TEST(keep(second, other));
  BOOST_TEST((read(id, find(id).file.value(), 0, 65'536) == other));
  at.node = old_node;
  BOOST_CHECK_EXCEPTION(keep(first, text), refused, is_conflict); // its chunks are gone, too
  at.rollback();
  BOOST_TEST((read(id, find(id).file.value(), 0, 65'536) == other));
}

BOOST_AUTO_TEST_CASE(a_job_that_is_no_export_has_nothing_to_do) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .queue = "mail"});
  BOOST_TEST(!db::decode_export_order(at.ask(db::begin_export_query(id, 1))).has_value());
  BOOST_TEST((put(id, 1, 0, "x") == chunk_fate::late));
  BOOST_TEST(!is_there(id));
  // Editing the job's args changes nothing of what is exported.
  const auto real = start({}, {{{{}, "mail", {}}}, false}).id;
  database.exec("select troupe.edit(" + std::to_string(real.value) + R"(, '{"args": {}}'))");
  BOOST_TEST(db::decode_export_order(at.ask(db::begin_export_query(real, 1)))
                 .value()
                 .what.filter.queue.value()
             == "mail");
}

BOOST_AUTO_TEST_CASE(a_request_that_comes_again_makes_one_export) {
  const auto first = start("k");
  BOOST_TEST((first.use == key_use::first));
  const auto again = start("k");
  BOOST_TEST((again.use == key_use::replayed));
  BOOST_TEST(again.id.value == first.id.value);
  const auto other = start("k", {{{}, export_format::csv, {}}, false});
  BOOST_TEST((other.use == key_use::refused));
  BOOST_TEST(other.id.value == 0);
  BOOST_TEST(count("export") == 1);
  BOOST_TEST(count("job") == 1);
}

BOOST_AUTO_TEST_CASE(each_bound_has_its_answer) {
  bounds.kept = 2;
  const auto ended = make();
  const auto kept = make();
  BOOST_CHECK_EXCEPTION(start("k"), refused, is_conflict);
  BOOST_TEST(count("idempotency") == 0);
  at.cancel(ended); // makes room
  const auto third = start("k").id;
  BOOST_TEST(third.value != 0);
  BOOST_CHECK_EXCEPTION(make(), refused, is_conflict);
  bounds.kept = 100;
  // Of one file, exactly.
  bounds.file_bytes = chunk + 10;
  BOOST_TEST((put(kept, 1, 0, text_of(limits::export_chunk, 5)) == chunk_fate::kept));
  BOOST_TEST((put(kept, 1, 1, text_of(11, 5)) == chunk_fate::file_too_long));
  BOOST_TEST((put(kept, 1, 1, text_of(10, 5)) == chunk_fate::kept));
  // Of all: what is there counts in whole chunks.
  bounds.all_bytes = 2 * chunk;
  BOOST_TEST((put(third, 1, 0, "x") == chunk_fate::no_room));
  BOOST_CHECK_EXCEPTION(make(), refused, is_conflict);
  bounds.all_bytes = 2 * chunk + 1;
  BOOST_TEST((put(third, 1, 0, "x") == chunk_fate::kept));
}

BOOST_AUTO_TEST_CASE(what_is_over_is_swept_in_steps_and_what_is_kept_stays) {
  const auto text = text_of(5 * limits::export_chunk, 6);
  const auto old = make_file(text);
  const auto kept = make_file(text);
  const auto deleted = make_file(text);
  expire(old);
  BOOST_TEST(!find(old).file);
  BOOST_TEST((find(old).state == job_state::completed));
  at.remove(deleted);
  BOOST_TEST(!is_there(deleted));
  std::vector<int> steps;
  while (steps.empty() || steps.back() > 0)
    steps.push_back(sweep(3));
  BOOST_TEST(steps == (std::vector<int>{3, 2, 3, 2, 0}), boost::test_tools::per_element());
  BOOST_TEST(chunks_of(old) == 0);
  BOOST_TEST(chunks_of(deleted) == 0);
  BOOST_TEST((read(kept, find(kept).file.value(), 0, 65'536) == text));
  BOOST_TEST(is_there(old)); // for a week
  database.exec("update troupe.export set created_at = now() - interval '8 days'");
  sweep();
  BOOST_TEST(!is_there(old));
  BOOST_TEST(is_there(kept));
  at.keep_up(); // sweeps, too
  BOOST_TEST((read(kept, find(kept).file.value(), 0, 65'536) == text));
}

BOOST_AUTO_TEST_CASE(one_that_is_made_again_has_its_new_file) {
  const auto first = text_of(1000, 7);
  const auto second = text_of(300'000, 8);
  const auto id = make_file(first);
  at.retry(id);
  BOOST_TEST(!find(id).file);
  const auto run = claim();
  put_all(id, 2, second);
  BOOST_TEST(keep(run, second));
  BOOST_TEST((read(id, find(id).file.value(), 0, 65'536) == second));
  while (sweep() > 0) {
  }
  BOOST_TEST(chunks_of(id) == 2);
}

BOOST_AUTO_TEST_CASE(to_know_how_much_is_stored_few_chunks_are_looked_at) {
  database.exec("insert into troupe.export_chunk select j, a, n, 'x' from generate_series(1, 3) j, "
                "generate_series(1, 2) a, generate_series(0, 999) n");
  at.begin();
  BOOST_TEST(at.ask(db::make_query("select sum(bytes)::bigint from troupe.export_runs()"))
                 .one()
                 .get<std::int64_t>(0)
             == 6 * 1000 * chunk);
  BOOST_TEST(at.ask(db::make_query("select idx_tup_fetch + seq_tup_read from "
                                   "pg_stat_xact_user_tables where relname = 'export_chunk'"))
                 .one()
                 .get<std::int64_t>(0)
             < 30);
  at.rollback();
}

BOOST_AUTO_TEST_CASE(pages_are_newest_first_and_of_one_queue) {
  std::vector<std::int64_t> all;
  std::vector<std::int64_t> mail;
  for (int i = 0; i < 7; ++i) {
    const bool of_mail = i % 3 == 0;
    const auto id = start({}, {{{{}, of_mail ? "mail" : "news", {}}}, false}).id.value;
    all.insert(all.begin(), id);
    if (of_mail)
      mail.insert(mail.begin(), id);
  }
  const auto pages = [&](std::optional<std::string> queue) {
    std::vector<std::int64_t> out;
    list_exports ask{std::move(queue), {}, 2};
    for (;;) {
      const auto page = list(ask);
      for (const auto& one : page.exports)
        out.push_back(one.id.value);
      if (!page.next)
        return out;
      ask.before = *page.next;
    }
  };
  BOOST_TEST(pages({}) == all, boost::test_tools::per_element());
  BOOST_TEST(pages("mail") == mail, boost::test_tools::per_element());
  BOOST_TEST(pages("none").empty());
}

struct modelled_export {
  int attempt = 1;
  std::optional<std::string> file;
  bool over = false;
};

BOOST_AUTO_TEST_CASE(
    random_runs_that_die_end_and_are_deleted_leave_exactly_the_files_that_are_kept) {
  const auto seed = seed_of_this_run();
  BOOST_TEST_MESSAGE("TROUPE_SEED=" << seed);
  BOOST_TEST_INFO("TROUPE_SEED=" << seed);
  std::mt19937 random{seed};
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::map<std::int64_t, modelled_export> known;
  for (int step = 0; step < 60; ++step) {
    switch (below(6)) {
    case 0:
      known[make().value];
      break;
    case 1:
    case 2: { // one runs: to its end, or to its node's
      const auto batch = at.claim(1, export_queue);
      if (batch.jobs.empty())
        break;
      const auto id = batch.jobs.front()->id;
      auto& one = known.at(id.value);
      BOOST_TEST(batch.jobs.front()->attempt == one.attempt);
      // What has been lost before and did not start is no attempt of its own.
      BOOST_TEST(at.start(batch.lease, id));
      const auto text = text_of(static_cast<std::size_t>(below(3 * static_cast<int>(chunk))),
                                static_cast<unsigned>(step));
      BOOST_TEST((put_all(id, one.attempt, text) == chunk_fate::kept));
      if (below(3) == 0 && one.attempt < 3) {
        lose(batch);
        ++one.attempt;
      } else {
        BOOST_TEST(keep(batch, text));
        one.file = text;
      }
      break;
    }
    case 3:
      for (auto& [id, one] : known)
        if (one.file && !one.over && below(2) == 0) {
          expire({id});
          one.over = true;
          break;
        }
      break;
    case 4:
      if (!known.empty()) {
        const auto one = std::next(known.begin(), below(static_cast<int>(known.size())));
        at.remove({one->first});
        known.erase(one);
      }
      break;
    default:
      sweep(1 + below(4));
    }
  }
  while (sweep() > 0) {
  }
  std::size_t chunks = 0;
  for (const auto& [id, one] : known) {
    const auto found = find({id});
    BOOST_TEST(found.file.has_value() == (one.file && !one.over));
    if (!found.file)
      continue;
    BOOST_TEST((read({id}, *found.file, 0, 65'536) == *one.file));
    chunks += (one.file->size() + limits::export_chunk - 1) / limits::export_chunk;
  }
  BOOST_TEST(static_cast<std::size_t>(count("export_chunk")) == chunks);
}

BOOST_AUTO_TEST_SUITE_END()
