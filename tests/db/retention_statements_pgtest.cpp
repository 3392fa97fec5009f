// What is told of ages: of many queues, and of what is no job's; and how they are changed.
// tests/db/retention_pgtest.cpp has the cleaning of jobs.
#include "db/retention_statements.hpp"
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;
using std::chrono::hours;

namespace {

struct kept_things : jobs_database {
  retention_record now() { return db::decode_retention(at.ask(db::retention_query())); }
  retention_record::thing of(const std::string& name) {
    for (const auto& each : now().others)
      if (each.name == name)
        return each;
    BOOST_FAIL(name);
    return {};
  }
  job_ages change(const change_ages& what) {
    return db::decode_ages(at.ask(db::change_ages_query(what)));
  }
  std::string ages(const std::string& queue) {
    return database.value("select concat_ws(' ', coalesce(completed::text, 'never'), "
                          "coalesce(cancelled::text, 'never'), coalesce(discarded::text, 'never')) "
                          "from troupe.retention where queue = '"
                          + queue + "'");
  }
};

} // namespace

BOOST_FIXTURE_TEST_CASE(of_many_queues_with_ages_the_first_are_told, kept_things) {
  database.exec("select troupe.retain('1 day', '1 day', '1 day', 'q' || i) "
                "from generate_series(1, 1100) i");
  const auto told = now();
  BOOST_TEST(told.ages.size() == 1000U);
  BOOST_TEST(told.more_queues);
  BOOST_TEST(told.ages.front().queue.empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_no_jobs_goes_by_the_age_that_is_told, kept_things) {
  BOOST_TEST((of("audit").age == hours{90 * 24}));
  BOOST_TEST((of("tokens").age == hours{90 * 24}));
  BOOST_TEST((of("bulk_operations").age == hours{7 * 24}));
  const auto keys = of("idempotency_keys");
  BOOST_TEST((keys.age == hours{24}));
  BOOST_TEST(!keys.oldest.has_value());
  database.exec("insert into troupe.idempotency (key, fingerprint) values ('key', '')");
  BOOST_TEST(of("idempotency_keys").oldest.has_value());
  const auto of_old = [&](int more_hours) {
    database.exec(
        "update troupe.idempotency set created_at = now() - interval '24 hours' - interval '"
        + std::to_string(more_hours) + " hours'");
    at.keep_up();
    return of("idempotency_keys").oldest.has_value();
  };
  BOOST_TEST(of_old(-1));
  BOOST_TEST(!of_old(1));
  database.exec("select troupe.note_change(null, 'ada', '', 'queue.pause', 'mail')");
  BOOST_TEST(of("audit").oldest.has_value());
  database.exec("update troupe.audit set at = now() - interval '91 days'");
  at.keep_up();
  BOOST_TEST(!of("audit").oldest.has_value());
}

BOOST_FIXTURE_TEST_CASE(a_change_is_of_what_it_names, kept_things) {
  const auto of_all = change({.queue = "", .completed = 36h, .discarded = job_ages::age{}});
  BOOST_TEST(of_all.queue.empty());
  BOOST_TEST((of_all.completed == 36h && of_all.cancelled == 168h && !of_all.discarded));
  BOOST_TEST(ages("") == "36:00:00 7 days never");
  // A queue begins with what holds for all others, and keeps that.
  const auto of_mail = change({.queue = "mail", .cancelled = 1ms});
  BOOST_TEST(of_mail.queue == "mail");
  BOOST_TEST((of_mail.completed == 36h && of_mail.cancelled == 1ms && !of_mail.discarded));
  change({.queue = "", .completed = 0ms, .cancelled = limits::longest_age_of_jobs});
  BOOST_TEST(ages("") == "00:00:00 87600:00:00 never");
  BOOST_TEST(ages("mail") == "36:00:00 00:00:00.001 never");
  change({.queue = "mail", .discarded = 2h});
  BOOST_TEST(ages("mail") == "36:00:00 00:00:00.001 02:00:00");
}

BOOST_FIXTURE_TEST_CASE(ages_that_are_forgotten_are_those_of_all_others, kept_things) {
  const auto forget = [&](const std::string& queue) {
    return db::decode_ages(at.ask(db::forget_ages_query({queue})));
  };
  const auto none = [](const refused& no) { return no.why.code == errc::not_found; };
  BOOST_CHECK_EXCEPTION(forget("mail"), refused, none);
  change({.queue = "mail", .completed = 1h});
  const auto told = forget("mail");
  BOOST_TEST(told.queue.empty());
  BOOST_TEST((told.completed == 168h));
  BOOST_TEST(database.value("select count(*) from troupe.retention") == "1");
  BOOST_CHECK_EXCEPTION(forget("mail"), refused, none);
  BOOST_CHECK_EXCEPTION(forget(""), refused, none);
}

BOOST_FIXTURE_TEST_CASE(of_two_changes_at_once_each_keeps_what_the_other_said, kept_things) {
  desk other(database.url());
  other.begin();
  other.ask(db::change_ages_query({.queue = "mail", .completed = 1h}));
  at.send(db::change_ages_query({.queue = "mail", .discarded = 2h}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_REQUIRE(std::holds_alternative<db::result>(at.later()));
  BOOST_TEST(ages("mail") == "01:00:00 7 days 02:00:00");
  other.begin();
  other.ask(db::make_query("select troupe.retain('3 hours', '4 hours', '5 hours', 'mail')"));
  at.send(db::change_ages_query({.queue = "mail", .discarded = 6h}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  BOOST_REQUIRE(std::holds_alternative<db::result>(at.later()));
  BOOST_TEST(ages("mail") == "03:00:00 04:00:00 06:00:00");
}

BOOST_FIXTURE_TEST_CASE(a_change_of_ages_is_looked_at_at_once, kept_things) {
  database.exec("update troupe.partition set look_at = now() + interval '1 hour'");
  change({.queue = "mail", .completed = 0ms});
  BOOST_TEST(database.value("select count(*) from troupe.partition where what = 'jobs' "
                            "and look_at > '-infinity'")
             == "0");
}
