// Searches: lists by tags, limit_key, time and args, of which a page looks at so many jobs and no
// more. What they find is what the view has, however the pages fall.
#include "tests/db/random_jobs.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

using id_list = std::vector<job_id>;

/// A time of the test's own: far from the ten years that jobs may wait.
timestamp at_second(std::int64_t second) {
  return std::chrono::sys_days{std::chrono::year{2026} / 1 / 1} + std::chrono::seconds{second};
}

struct search_desk : random_jobs {
  /// All pages, one after the other.
  id_list all(const job_filter& filter, int limit = 500) {
    id_list found;
    list_jobs ask{filter, {}, limit};
    for (int pages = 0; pages < 10'000; ++pages) {
      const auto page = at.list(ask);
      BOOST_TEST(page.jobs.size() <= static_cast<std::size_t>(limit));
      for (const auto& job : page.jobs)
        found.push_back(job.id);
      if (!page.next)
        return found;
      BOOST_TEST((ask.before.value == 0 || *page.next < ask.before), "a cursor goes on");
      ask.before = *page.next;
    }
    throw std::runtime_error("the pages do not end");
  }
  /// A page takes the time that it needs to look at as many jobs as it may.
  void be_patient() const {
    database.exec("select troupe.edit_function('find_jobs', 'clock_timestamp() + p_patience',"
                  " 'clock_timestamp() + interval ''1 hour''')");
  }
  /// What the function does with bounds of the test's own.
  struct part {
    id_list ids;
    std::optional<std::int64_t> next;
  };
  part find(const std::string& state, const std::string& args, int limit, int looks,
            const std::string& patience, std::int64_t before = 1'000'000'000) {
    const auto row =
        at.ask(db::make_query("select ids, next from troupe.find_jobs(" + state + ", "
                              + std::to_string(before) + ", null, null, null, null, null, null, "
                              + args + ", " + std::to_string(limit) + ", " + std::to_string(looks)
                              + ", interval '" + patience + "')"))
            .one();
    id_list ids;
    for (const auto id : row.get<std::vector<std::int64_t>>(0))
      ids.push_back(job_id{id});
    return {std::move(ids), row.get<std::optional<std::int64_t>>(1)};
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(searches, search_desk)

BOOST_AUTO_TEST_CASE(all_tags_that_are_asked_for_have_to_be_there_and_whole) {
  const auto both = at.enqueue(job_spec{.kind = "noop", .tags = {"a", "b"}});
  const auto one = at.enqueue(job_spec{.kind = "noop", .tags = {"a"}});
  at.enqueue(job_spec{.kind = "noop", .tags = {"ab"}});
  const auto odd = at.enqueue(job_spec{.kind = "noop", .tags = {"{a,\"b\"} ' \\ %"}});
  at.enqueue();
  BOOST_TEST((all({.tags = {"a"}}) == id_list{one, both}));
  BOOST_TEST((all({.tags = {"b", "a"}}) == id_list{both}));
  BOOST_TEST((all({.tags = {"a", "c"}}) == id_list{}));
  BOOST_TEST((all({.tags = {"A"}}) == id_list{}));
  BOOST_TEST((all({.tags = {"{a,\"b\"} ' \\ %"}}) == id_list{odd}));
  for (const auto* text : {"' or '1'='1", "'; drop table troupe.job; --", "%", "_", "{}", "$1"}) {
    BOOST_TEST((all({.tags = {text}}) == id_list{}), text);
    BOOST_TEST((all({.limit_key = text}) == id_list{}), text);
  }
  BOOST_CHECK_EXCEPTION(all({.tags = {std::string{"a\0b", 3}}}), refused, is_invalid);
  BOOST_CHECK_EXCEPTION(all({.tags = {"\xff"}}), refused, is_invalid);
}

BOOST_AUTO_TEST_CASE(a_time_from_is_met_and_a_time_before_is_not) {
  const auto ids = at.enqueue_many(5);
  for (std::size_t i = 0; i < ids.size(); ++i)
    database.exec("update troupe.job set created_at = '2026-01-01T00:00:00Z'::timestamptz + "
                  + std::to_string(i)
                  + " * interval '1 microsecond' where id = " + std::to_string(ids[i].value));
  const auto then = at_second(0);
  BOOST_TEST((all({.created_from = then + 3us}) == id_list{ids[4], ids[3]}));
  BOOST_TEST((all({.created_before = then + 2us}) == id_list{ids[1], ids[0]}));
  BOOST_TEST((all({.created_from = then + 2us, .created_before = then + 3us}) == id_list{ids[2]}));
  BOOST_TEST((all({.created_from = then + 2us, .created_before = then + 2us}) == id_list{}));
}

BOOST_AUTO_TEST_CASE(args_that_contain_what_is_asked_for_are_met) {
  const auto put = [&](const std::string& args) {
    return at.enqueue(job_spec{.kind = "noop", .args = args});
  };
  const auto full = put(R"({"customer":{"id":7,"name":"x"},"lines":[{"n":1},{"n":2,"m":3}]})");
  const auto text = put(R"({"customer":{"id":"7"}})");
  put("[7]");
  put("7");
  const auto odd = put(R"({"k'":"v\"' or 1=1 --"})");
  BOOST_TEST((all({.args = R"({"customer":{"id":7}})"}) == id_list{full}));
  BOOST_TEST((all({.args = R"({"customer":{"id":7.00}})"}) == id_list{full}));
  BOOST_TEST((all({.args = R"({"customer":{"id":"7"}})"}) == id_list{text}));
  BOOST_TEST((all({.args = R"({"customer":{}})"}) == id_list{text, full}));
  BOOST_TEST((all({.args = R"({"lines":[{"n":2}]})"}) == id_list{full}));
  BOOST_TEST((all({.args = R"({"lines":[{"n":1,"m":3}]})"}) == id_list{}));
  BOOST_TEST((all({.args = R"({"id":7})"}) == id_list{}));
  BOOST_TEST((all({.args = R"({"k'":"v\"' or 1=1 --"})"}) == id_list{odd}));
}

BOOST_AUTO_TEST_CASE(a_page_that_has_looked_at_so_many_jobs_ends_and_its_cursor_goes_on) {
  be_patient();
  const auto oldest = at.enqueue(job_spec{.kind = "noop", .tags = {"a"}});
  at.enqueue_many(limits::page_looks);
  const auto newest = at.enqueue(job_spec{.kind = "noop", .tags = {"a"}});
  list_jobs ask{{.tags = {"a"}}, {}, 50};
  const auto first = at.list(ask);
  BOOST_REQUIRE(first.jobs.size() == 1U);
  BOOST_TEST((first.jobs[0].id == newest));
  BOOST_REQUIRE(first.next.has_value());
  BOOST_TEST(newest.value - first.next->value == limits::page_looks - 1);
  ask.before = *first.next;
  const auto second = at.list(ask);
  BOOST_REQUIRE(second.jobs.size() == 1U);
  BOOST_TEST((second.jobs[0].id == oldest));
  BOOST_TEST(!second.next);
  ask.filter.tags = {"b"};
  ask.before = {};
  const auto none = at.list(ask);
  BOOST_TEST(none.jobs.empty());
  BOOST_TEST(none.next.has_value());
}

BOOST_AUTO_TEST_CASE(looks_and_patience_end_a_page_of_any_state) {
  const auto ids = at.enqueue_many(40);
  for (const auto id : ids)
    at.cancel(id);
  for (const auto* state : {"null", "'cancelled'"}) {
    const auto by_looks = find(state, R"('{"n":1}')", 50, 7, "1 hour");
    BOOST_TEST(by_looks.ids.empty());
    BOOST_TEST(by_looks.next.value() == ids[33].value, state);
    const auto by_time = find(state, R"('{"n":1}')", 5, 1000, "0");
    BOOST_TEST(by_time.ids.empty());
    BOOST_TEST(by_time.next.value() == ids[30].value, state);
    const auto full = find(state, "'{}'", 3, 1000, "0");
    BOOST_TEST((full.ids == id_list{ids[39], ids[38], ids[37]}));
    BOOST_TEST(full.next.value() == ids[37].value, state);
    BOOST_TEST(!find(state, R"('{"n":1}')", 50, 1000, "1 hour").next, state);
  }
  BOOST_TEST(!find("'pending'", "'{}'", 50, 1000, "1 hour").next);
}

BOOST_AUTO_TEST_CASE(a_time_before_skips_what_is_newer_and_nothing_else) {
  be_patient();
  at.enqueue_many(10'000);
  // A second apart, and each up to 100 s before its id was taken.
  database.exec("update troupe.job set created_at = '2026-01-01T00:00:00Z'::timestamptz"
                " + (id - id * 7919 % 101) * interval '1 second'");
  for (const std::int64_t second : {-200, 0, 1, 777, 5'000, 9'700, 10'000, 20'000}) {
    const auto row =
        at.ask(db::make_query("select troupe.ids_since($1, interval '100 s', 1000000), "
                              "(select coalesce(min(id), 1000000) from troupe.job "
                              "where created_at >= $1 + interval '100 s')",
                              at_second(second)))
            .one();
    const auto top = row.get<std::int64_t>(0);
    BOOST_TEST(database.value("select count(*) from troupe.job where id >= " + std::to_string(top)
                              + " and created_at < '2026-01-01T00:00:00Z'::timestamptz + "
                              + std::to_string(second) + " * interval '1 second'")
                   == "0",
               second);
    if (second < 9'900) // the newest job tells
      BOOST_TEST(top <= row.get<std::int64_t>(1) + 700, second);
  }
  // So that one page is enough, however many are newer; and the same downwards.
  database.exec("update troupe.job set created_at = '2026-01-01T00:00:00Z'::timestamptz"
                " + id * interval '1 minute'");
  const auto first = find("null", "null", 500, 10'000, "1 hour", 60);
  const auto old = at.list({{.created_before = at_second(60 * 60)}, {}, 500});
  BOOST_TEST(old.jobs.size() == first.ids.size());
  BOOST_TEST(!old.next);
  const auto young = at.list({{.created_from = at_second(60 * 9'990)}, {}, 500});
  BOOST_TEST(young.jobs.size() == 11U);
  BOOST_TEST(!young.next);
}

BOOST_AUTO_TEST_CASE(every_search_finds_what_the_view_has_however_its_pages_fall) {
  play(150);
  database.exec("update troupe.job set args = jsonb_build_object('n', id % 3, 'deep', "
                "jsonb_build_object('m', id % 2)), created_at = "
                "'2026-01-01T00:00:00Z'::timestamptz + (id - 4999800 - id * 7919 % 50)"
                " * interval '1 minute'");
  const auto last = jobs.back().value - 4'999'800;
  int met = 0;
  for (int round = 0; round < 200; ++round) {
    job_filter filter;
    std::string where = "true";
    if (below(2) == 0) {
      filter.state = static_cast<job_state>(below(8));
      where += " and state = '" + std::string{to_string(*filter.state)} + "'";
    }
    if (below(3) == 0) {
      filter.queue = queue();
      where += " and queue = '" + *filter.queue + "'";
    }
    if (below(3) == 0) {
      filter.kind = "k";
      where += " and kind = 'k'";
    }
    if (below(3) == 0) {
      filter.tags = {"a \"tag\"", "t"};
      where += " and 't' = any (tags) and 'a \"tag\"' = any (tags)";
    }
    if (below(4) == 0) {
      filter.limit_key = "key";
      where += " and limit_key = 'key'";
    }
    const auto time = [&](std::optional<timestamp>& into, const char* condition) {
      const auto second = static_cast<std::int64_t>(random() % static_cast<unsigned>(last)) * 60;
      into = at_second(second);
      where += " and created_at " + std::string{condition}
               + " '2026-01-01T00:00:00Z'::timestamptz + " + std::to_string(second)
               + " * interval '1 second'";
    };
    if (below(3) == 0)
      time(filter.created_from, ">=");
    if (below(3) == 0)
      time(filter.created_before, "<");
    if (below(3) == 0) {
      filter.args = R"({"deep":{"m":1},"n":)" + std::to_string(below(3)) + "}";
      where += " and args @> '" + filter.args + "'";
    }
    const auto found = all(filter, 1 + below(40));
    std::string ids;
    for (const auto id : found)
      ids += (ids.empty() ? "" : ",") + std::to_string(id.value);
    BOOST_TEST(ids
                   == database.value("select coalesce(string_agg(id::text, ',' order by id desc), "
                                     "'') from troupe.jobs where "
                                     + where),
               where);
    met += static_cast<int>(found.size());
  }
  BOOST_TEST(met > 500);
}

BOOST_AUTO_TEST_CASE(a_job_of_a_search_is_shown_as_in_a_list) {
  be_patient();
  play(60);
  database.exec("update troupe.job set tags = '{t}', args = '{\"a\": 1}'");
  const auto plain = at.list({{}, {}, 500});
  const auto searched = at.list({{.tags = {"t"}}, {}, 500});
  const auto brief =
      at.list({.filter = {.tags = {"t"}}, .before = {}, .limit = 500, .args = false});
  BOOST_REQUIRE(plain.jobs.size() == brief.jobs.size());
  BOOST_REQUIRE(plain.jobs.size() == searched.jobs.size());
  int running = 0;
  for (std::size_t i = 0; i < plain.jobs.size(); ++i) {
    const auto& a = plain.jobs[i];
    const auto& b = searched.jobs[i];
    BOOST_TEST((a.id == b.id && a.state == b.state && a.queue == b.queue && a.kind == b.kind));
    BOOST_TEST((a.attempt == b.attempt && a.args == b.args && a.run_at == b.run_at));
    BOOST_TEST((a.created_at == b.created_at && a.limit_key == b.limit_key && a.tags == b.tags));
    BOOST_TEST((a.node == b.node && a.started_at == b.started_at));
    const auto& c = brief.jobs[i];
    BOOST_TEST((c.id == b.id && c.state == b.state && c.tags == b.tags && c.node == b.node));
    BOOST_TEST(c.args == "{}");
    running += b.node.empty() ? 0 : 1;
  }
  BOOST_TEST(running > 0);
}

BOOST_AUTO_TEST_SUITE_END()
