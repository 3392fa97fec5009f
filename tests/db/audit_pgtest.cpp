// Who has changed what: written with the change or not at all, read by pages, and bounded.
#include "db/bulk_statements.hpp"
#include "db/retention_statements.hpp"
#include "db/token_statements.hpp"
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

const asker ada{"ada", 7, "r-1"};

struct audited : jobs_database {
  audit_page page(const list_audit& ask = {}) {
    return db::decode_audit(at.ask(db::audit_query(ask)), ask);
  }
  /// The newest one's action and subject.
  std::string last() {
    const auto entries = page({0, 1}).entries;
    return entries.empty() ? "" : entries.front().action + ' ' + entries.front().subject;
  }
  /// The newest one's changes, in the order of their names; "-" for none.
  std::string changes() {
    const auto entries = page({0, 1}).entries;
    return entries.empty() || !entries.front().changes ? "-" : sorted(*entries.front().changes);
  }
  std::string sorted(const std::string& changes) const {
    return database.value(
        "select coalesce(string_agg(key || coalesce(' ' || (value -> 'from')::text || ' > ' || "
        "(value -> 'to')::text, ''), ', ' order by key), '') from jsonb_each('"
        + changes + "')");
  }
  std::size_t size() { return page().entries.size(); }
  void enter(std::int64_t id, const std::string& age) const {
    database.exec("insert into troupe.audit (id, at, who, action, subject, request) overriding "
                  "system value values ("
                  + std::to_string(id) + ", now() - interval '" + age + "', 'x', 'y', 'z', '')");
  }
  std::string forget(const std::string& most = {}) const {
    return database.value("select troupe.forget_audit(" + most + ")");
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(audit, audited)

BOOST_AUTO_TEST_CASE(every_change_is_written_down_with_who_asked_and_where_to_find_the_request) {
  const auto id = at.enqueue();
  const auto name = std::to_string(id.value);
  at.ask(db::edit_query({.id = id, .priority = 3, .by = ada}));
  BOOST_TEST(last() == "job.edit " + name);
  at.ask(db::cancel_query(id, ada));
  BOOST_TEST(last() == "job.cancel " + name);
  at.ask(db::retry_query(id, ada));
  BOOST_TEST(last() == "job.retry " + name);
  at.ask(db::delete_query(id, ada));
  BOOST_TEST(last() == "job.delete " + name);
  at.ask(db::pause_query({.name = "mail", .paused = true, .by = ada}));
  BOOST_TEST(last() == "queue.pause mail");
  at.ask(db::pause_query({.name = "mail", .paused = false, .by = ada}));
  BOOST_TEST(last() == "queue.resume mail");
  at.ask(db::limit_query({.name = "mail", .concurrency = 3, .by = ada}));
  BOOST_TEST(last() == "queue.limit mail");
  BOOST_TEST(at.queue("mail")->concurrency.value_or(0) == 3);
  at.ask(db::change_ages_query({.queue = "mail", .completed = std::chrono::hours{1}, .by = ada}));
  BOOST_TEST(last() == "retention.change mail");
  at.ask(db::forget_ages_query({"mail", ada}));
  BOOST_TEST(last() == "retention.forget mail");
  start_bulk bulk;
  bulk.what.action = bulk_action::retry;
  bulk.what.filter.state = job_state::cancelled;
  bulk.by = ada;
  bulk.key = "once";
  const auto begin = [&] { return db::decode_started_bulk(at.ask(db::start_bulk_query(bulk))); };
  const auto operation = begin().id;
  const auto again = begin(); // and that is written down once
  BOOST_TEST(again.id == operation);
  BOOST_TEST((again.use == key_use::replayed));
  bulk.what.filter.kind = "other";
  BOOST_TEST((begin().use == key_use::refused));
  BOOST_TEST(last() == "bulk.retry " + std::to_string(operation));
  at.ask(db::cancel_bulk_query(operation, ada));
  BOOST_TEST(last() == "bulk.cancel " + std::to_string(operation));
  const auto token = db::decode_token(at.ask(db::create_token_query(
      {"ci", "trp_abcd1234", std::string(32, 'h'), role::viewer, {}, {}, ada})));
  BOOST_TEST(token.name == "ci");
  BOOST_TEST(last() == "token.create " + std::to_string(token.id));
  at.ask(db::revoke_token_query({token.id, ada}));
  BOOST_TEST(last() == "token.revoke " + std::to_string(token.id));
  const auto all = page().entries;
  BOOST_TEST(all.size() == 13U);
  for (const auto& entry : all) {
    BOOST_TEST(entry.who == "ada");
    BOOST_TEST(entry.token.value_or(0) == 7);
    BOOST_TEST(entry.request_id == "r-1");
  }
}

BOOST_AUTO_TEST_CASE(an_entry_says_from_what_to_what_a_setting_was_changed) {
  const auto limit = [&](limit_queue ask) {
    ask.by = ada;
    at.ask(db::limit_query(ask));
    return changes();
  };
  BOOST_TEST(limit({.name = "mail", .concurrency = 3, .ordered = false}) == "concurrency null > 3");
  BOOST_TEST(
      limit({.name = "mail", .concurrency = 5, .rate = job_rate{10, 1s, 20}, .max_waiting = 7})
      == R"(concurrency 3 > 5, max_waiting null > 7, rate null > )"
         R"({"jobs": 10, "burst": 20, "period_ms": 1000})");
  BOOST_TEST(limit({.name = "mail",
                    .concurrency = std::optional<int>{},
                    .ordered = true,
                    .max_waiting = std::optional<int>{}})
             == "concurrency 5 > null, max_waiting 7 > null, ordered false > true");
  BOOST_TEST(limit({.name = "mail", .ordered = true}).empty());
  at.ask(db::change_ages_query({.queue = "mail", .completed = 1h, .by = ada}));
  BOOST_TEST(changes() == "completed_ms 604800000 > 3600000");
  at.ask(db::change_ages_query({.queue = "", .completed = 2h, .by = ada}));
  BOOST_TEST(changes() == "completed_ms 604800000 > 7200000");
  at.ask(db::forget_ages_query({"mail", ada}));
  BOOST_TEST(changes() == "completed_ms 3600000 > 7200000");
  at.ask(db::pause_query({.name = "mail", .paused = true, .by = ada}));
  BOOST_TEST(changes() == "-");
  at.ask(db::create_token_query(
      {"ci", "trp_abcd1234", std::string(32, 'h'), role::worker, {"mail"}, {}, ada}));
  BOOST_TEST(changes() == R"(name null > "ci", queues null > ["mail"], role null > "worker")");
}

BOOST_AUTO_TEST_CASE(an_entry_says_what_a_job_was_but_not_its_args) {
  const auto id = at.enqueue(job_spec{.kind = "noop", .args = R"({"to":"ada"})", .tags = {"a"}});
  const auto edit = [&](edit_job ask) {
    ask.by = ada;
    at.ask(db::edit_query(ask));
    return changes();
  };
  BOOST_TEST(
      edit({.id = id, .args = R"({"to":"bob"})", .priority = 3, .tags = std::vector<std::string>{}})
      == R"(args, priority 0 > 3, tags ["a"] > [])");
  BOOST_TEST(edit({.id = id, .args = R"({"to": "bob"})", .max_attempts = 5, .timeout = 1500ms})
             == "max_attempts 20 > 5, timeout_ms null > 1500");
  using std::chrono::sys_days;
  const auto later = timestamp{sys_days{std::chrono::year{2030} / 1 / 31}} + 8h + 250ms;
  BOOST_TEST(edit({.id = id, .run_at = later}) == R"(run_at null > "2030-01-31T08:00:00.250Z")");
  at.ask(db::delete_query(id, ada));
  BOOST_TEST(changes() == R"(kind "noop" > null, queue "default" > null)");
}

BOOST_AUTO_TEST_CASE(of_two_changes_at_once_the_second_begins_where_the_first_ended) {
  desk other(database.url());
  other.begin();
  other.ask(db::limit_query({.name = "mail", .concurrency = 3, .by = ada}));
  at.send(db::limit_query({.name = "mail", .concurrency = 5, .by = ada}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_REQUIRE(std::holds_alternative<db::result>(at.later()));
  BOOST_TEST(changes() == "concurrency 3 > 5");
  other.begin();
  other.ask(db::change_ages_query({.queue = "mail", .completed = 1h, .by = ada}));
  at.send(db::change_ages_query({.queue = "mail", .completed = 2h, .by = ada}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_REQUIRE(std::holds_alternative<db::result>(at.later()));
  BOOST_TEST(changes() == "completed_ms 3600000 > 7200000");
}

BOOST_AUTO_TEST_CASE(what_was_refused_or_undone_has_no_entry) {
  const auto id = at.enqueue();
  BOOST_CHECK_EXCEPTION(at.ask(db::cancel_query({id.value + 1}, ada)), refused, is_not_found);
  at.cancel(id);
  BOOST_CHECK_EXCEPTION(at.ask(db::cancel_query(id, ada)), refused, is_conflict);
  BOOST_CHECK_EXCEPTION(at.ask(db::revoke_token_query({1, ada})), refused, is_not_found);
  at.begin();
  at.ask(db::pause_query({.name = "mail", .paused = true, .by = ada}));
  BOOST_TEST(last() == "queue.pause mail");
  at.rollback();
  BOOST_TEST(last().empty());
}

BOOST_AUTO_TEST_CASE(nothing_is_written_for_programs_and_for_what_jobs_do) {
  const auto id = at.enqueue();
  at.pause();
  at.resume();
  at.cancel(id);
  at.enqueue();
  at.finish(at.claim_one());
  BOOST_TEST(size() == 0U);
  at.ask(db::pause_query({.name = "mail", .paused = true, .by = {"anyone", {}, ""}}));
  BOOST_REQUIRE(size() == 1U);
  const auto entry = page().entries.front();
  BOOST_TEST(entry.who == "anyone");
  BOOST_TEST(!entry.token.has_value());
  BOOST_TEST(entry.request_id.empty());
}

BOOST_AUTO_TEST_CASE(pages_go_on_where_the_last_one_ended) {
  for (std::int64_t id = 1; id <= 5; ++id)
    enter(id, "1 hour");
  std::vector<std::int64_t> seen;
  list_audit ask{0, 2};
  for (;;) {
    const auto part = page(ask);
    for (const auto& entry : part.entries)
      seen.push_back(entry.id);
    if (!part.next)
      break;
    ask.before = *part.next;
  }
  BOOST_TEST(seen == (std::vector<std::int64_t>{5, 4, 3, 2, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(old_entries_and_those_beyond_a_million_go_and_no_more_at_a_time_than_said) {
  for (std::int64_t id = 1; id <= 3; ++id)
    enter(id, "91 days");
  enter(4, "89 days");
  BOOST_TEST(forget("2") == "2");
  BOOST_TEST(forget("2") == "1");
  BOOST_TEST(forget("2") == "0");
  BOOST_TEST(size() == 1U);
  enter(5, "1 hour");
  enter(1'000'004, "1 hour");
  BOOST_TEST(forget() == "1");
  BOOST_TEST(forget() == "0");
  BOOST_TEST(page().entries.back().id == 5);
  enter(1'000'005, "1 hour");
  at.keep_up();
  BOOST_TEST(page().entries.back().id == 1'000'004);
}

BOOST_AUTO_TEST_SUITE_END()
