// Jobs of an export against the pages of lists, in every state and on both sides of a partition's
// end, and the text of each format to the letter.
#include "db/export_statements.hpp"
#include "db/filter.hpp"
#include "db/statements.hpp"
#include "tests/db/random_jobs.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

struct exporting : random_jobs {
  std::string text(const export_jobs& what) {
    at.begin();
    at.ask(db::export_plans_query());
    at.on.copy(db::export_query(what));
    std::string all;
    for (;;) {
      while (const auto chunk = at.on.copy_chunk())
        all += *chunk;
      if (auto answer = at.on.next()) {
        if (const auto* why = std::get_if<db::db_failure>(&answer->outcome))
          BOOST_FAIL(why->message);
        at.rollback();
        return all;
      }
      BOOST_REQUIRE(!at.on.broken());
      step(at.on);
    }
  }
};

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

const job_spec awkward{
    .kind = "noop", .args = R"({"text": "a \"quote\", a \\ and\n\ta line, ü"})", .tags = {"x,y"}};
const std::string as_enqueued = R"({"text": "a \"quote\", a \\ and\n\ta line, ü"})";

} // namespace

BOOST_FIXTURE_TEST_SUITE(exports, exporting)

BOOST_AUTO_TEST_CASE(jobs_of_an_export_are_those_of_the_lists_in_every_state) {
  play(200);
  for (const std::string state :
       {"available", "scheduled", "retryable", "running", "completed", "cancelled", "discarded"}) {
    const auto row =
        at.ask(db::make_query(
                   "select count(l.id), count(*) filter (where (e.id, e.queue, e.kind, e.priority, "
                   "e.state, e.args, e.attempt, e.max_attempts, e.timeout_ms, e.tags, e.run_at, "
                   "e.created_at, e.limit_key) is distinct from (l.id, l.queue, l.kind, "
                   "l.priority, l.state, l.args, l.attempt, l.max_attempts, l.timeout_ms, l.tags, "
                   "l.run_at, l.created_at, l.limit_key)) "
                   "from (select * from troupe.exported_job where state = $1) e full join "
                   "troupe.list_jobs($1, 9223372036854775807, null, null, 100000) l using (id)",
                   state))
            .one();
    BOOST_TEST(row.get<std::int64_t>(0) > 0, state);
    BOOST_TEST(row.get<std::int64_t>(1) == 0, state);
    const auto count = static_cast<std::size_t>(row.get<std::int64_t>(0));
    export_jobs one{.filter = {.state = parse_job_state(state), .queue = {}, .kind = {}}};
    BOOST_TEST(lines(text(one)) == count, state);
    one.format = export_format::csv;
    BOOST_TEST(lines(text(one)) == count + 1, state);
  }
  const auto total = std::stoul(database.value("select count(*) from troupe.job"));
  BOOST_TEST(lines(text({})) == total);
  std::size_t parts = 0;
  for (const auto* name : {"a", "b", "rare"})
    for (const auto* kind : {"k", "noop"})
      parts += lines(text({.filter = {.state = {}, .queue = name, .kind = kind}}));
  BOOST_TEST(parts == total);
}

BOOST_AUTO_TEST_CASE(an_export_of_a_search_has_what_the_search_finds) {
  play(100);
  database.exec("update troupe.job set args = jsonb_build_object('it''s', id % 3), created_at = "
                "'2026-01-01T00:00:00Z'::timestamptz + (id - 4999800) * interval '1 minute'");
  const timestamp then{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
  for (const auto& filter : std::vector<job_filter>{
           {.tags = {"t", "a \"tag\""}},
           {.tags = {"' or true --", "t"}},
           {.limit_key = "key"},
           {.created_from = then + 250min},
           {.created_before = then + 250min},
           {.args = R"({"it's":1})"},
           {.queue = "a", .tags = {"t"}, .created_from = then + 100min, .args = R"({"it's":2})"}}) {
    std::size_t found = 0;
    list_jobs ask{filter, {}, 500};
    do {
      const auto page = at.list(ask);
      found += page.jobs.size();
      ask.before = page.next.value_or(job_id{});
    } while (ask.before.value > 0);
    BOOST_TEST((found > 0) == (filter.tags.empty() || filter.tags[0] != "' or true --"));
    BOOST_TEST(lines(text({.filter = filter})) == found);
    BOOST_TEST(lines(text({.filter = filter, .format = export_format::csv})) == found + 1);
  }
}

BOOST_AUTO_TEST_CASE(lines_are_json_as_the_server_has_it_and_nothing_is_escaped_twice) {
  const auto id = std::to_string(at.enqueue(awkward).value);
  at.ask(db::make_query("update troupe.job set created_at = '2026-11-28 12:00:00.50+00'"));
  const auto object = R"({"id":")" + id
                      + R"(","queue":"default","kind":"noop","priority":0,"state":"available",)"
                        R"("args":)"
                      + as_enqueued
                      + R"(,"attempt":0,"max_attempts":20,"timeout_ms":null,"tags":["x,y"],)"
                        R"("limit_key":null,"run_at":"2026-11-28T12:00:00.5Z",)"
                        R"("created_at":"2026-11-28T12:00:00.5Z"})";
  BOOST_TEST(text({}) == object + "\n");
  BOOST_TEST(text({.format = export_format::json}) == "," + object + "\n");
}

BOOST_AUTO_TEST_CASE(columns_are_quoted_as_rfc_4180_says) {
  const auto id = std::to_string(at.enqueue(awkward).value);
  at.ask(db::make_query("update troupe.job set created_at = '2026-11-28 12:00:00+00'"));
  std::string quoted;
  for (const auto c : as_enqueued)
    quoted += c == '"' ? "\"\"" : std::string{c};
  BOOST_TEST(text({.format = export_format::csv})
             == "id,queue,kind,priority,state,args,attempt,max_attempts,timeout_ms,tags,limit_key,"
                "run_at,created_at\n"
                    + id + ",default,noop,0,available,\"" + quoted
                    + R"(",0,20,,"[""x,y""]",,2026-11-28T12:00:00Z,2026-11-28T12:00:00Z)" + "\n");
}

BOOST_AUTO_TEST_CASE(a_limit_gives_the_oldest_in_the_order_of_ids) {
  const auto ids = at.enqueue_many(5);
  const auto some = text({.format = export_format::csv, .limit = 3});
  std::size_t place = 0;
  for (const auto id : {ids[0], ids[1], ids[2]}) {
    const auto found = some.find("\n" + std::to_string(id.value) + ",", place);
    BOOST_REQUIRE(found != std::string::npos);
    place = found;
  }
  BOOST_TEST(lines(some) == 4U);
}

BOOST_AUTO_TEST_CASE(
    an_export_reads_by_index_in_order_and_sorts_no_jobs_whatever_is_known_of_them) {
  database.exec("vacuum analyze"); // of empty tables
  at.enqueue_many(3000);
  at.finish(at.claim(300));
  at.begin();
  at.ask(db::export_plans_query());
  for (const auto* what : {&db::sql::export_columns, &db::sql::export_lines})
    for (const auto& filter :
         {job_filter{}, job_filter{.state = job_state::running},
          job_filter{.tags = {"t"}, .created_from = timestamp{}, .args = R"({"a":1})"}}) {
      auto q = db::make_query(std::string{"explain (costs off) "} + what->text);
      db::bind_filter(q, filter);
      q.bind(std::optional<std::int64_t>{});
      if (what == &db::sql::export_lines)
        q.bind("");
      const auto plan = at.ask(q);
      std::string all;
      int sorts = 0;
      for (int i = 0; i < plan.rows(); ++i) {
        const auto line = plan[i].get<std::string>(0);
        sorts += line.find("->  Sort") != std::string::npos || line.starts_with("Sort") ? 1 : 0;
        BOOST_TEST(line.find("Incremental Sort") == std::string::npos, line);
        BOOST_TEST((line.find("Seq Scan") == std::string::npos
                    || line.find(" on lease") != std::string::npos),
                   line);
        all += line + "\n";
      }
      BOOST_TEST(sorts == 1, all); // of what is in leases
      BOOST_TEST(all.find("Sort Key: u.i") != std::string::npos, all);
    }
  at.rollback();
}

BOOST_AUTO_TEST_SUITE_END()
