// What is told of ages: of many queues, and of what is no job's. tests/db/retention_pgtest.cpp has
// the cleaning of jobs.
#include "db/retention_statements.hpp"
#include "tests/db/desk.hpp"

using namespace troupe;
using namespace troupe::tests;
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
