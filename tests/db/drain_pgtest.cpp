// Nodes that an operator drains: from the commit on they are handed out nothing, whatever they ask.
#include "db/token_statements.hpp"
#include "tests/db/two_nodes.hpp"

using namespace troupe;
using namespace troupe::tests;

namespace {

struct drained_nodes : two_nodes {
  node_record steer(const std::string& name, bool drain, const asker& by = {}) {
    const auto drained = at.ask(db::drain_node_query({name, drain, by}));
    const auto node = db::decode_node(at.ask(db::drained_node_query(drained)));
    BOOST_REQUIRE(node.has_value());
    return *node;
  }
  node_record drain(const std::string& name) { return steer(name, true); }
  node_record resume(const std::string& name) { return steer(name, false); }
  node_record find(const std::string& name) {
    return db::decode_node(at.ask(db::node_query({name}))).value();
  }
  std::vector<std::string> actions() {
    std::vector<std::string> out;
    const list_audit all;
    for (const auto& each : db::decode_audit(at.ask(db::audit_query(all)), all).entries)
      out.push_back(each.action + " " + each.subject + " " + each.who);
    return out;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(drains, drained_nodes)

BOOST_AUTO_TEST_CASE(a_drained_node_gets_nothing_and_finishes_what_it_has) {
  at.enqueue_many(4);
  const auto held = at.claim(2);
  BOOST_REQUIRE(held.jobs.size() == 2U);
  const auto shown = drain("one");
  BOOST_TEST((shown.id == at.node));
  BOOST_TEST((shown.state == node_state::draining));
  BOOST_TEST(shown.queues.at(0).running == 2);
  BOOST_TEST(at.claim().jobs.empty());
  const auto stored = at.enqueue_here({job_spec{.kind = "noop"}});
  BOOST_TEST(stored.claimed.jobs.empty());
  BOOST_TEST(at.state(stored.stored.ids.at(0)) == "available");
  BOOST_TEST(at.finish(held).fenced.empty());
  BOOST_TEST(find("one").queues.empty());
  BOOST_TEST(everything(other).size() == 3U); // the others go on
  BOOST_TEST((find("two").state == node_state::alive));
}

BOOST_AUTO_TEST_CASE(a_drain_is_heard_with_the_heartbeat_until_it_is_over) {
  BOOST_TEST(!at.beat().draining);
  drain("one");
  drain("one"); // the same again
  BOOST_TEST(at.beat().draining);
  BOOST_TEST(!other.beat().draining);
  keep_alive();
  BOOST_TEST((resume("one").state == node_state::alive));
  BOOST_TEST((resume("one").state == node_state::alive));
  BOOST_TEST(!at.beat().draining);
  at.enqueue();
  BOOST_TEST(at.claim().jobs.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_life_that_goes_on_for_another_is_drained_from_its_first_moment) {
  join_node ask{"one"};
  ask.draining = true;
  at.node = db::decode_join(at.ask(db::join_query(ask)));
  at.enqueue();
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(at.beat().draining);
  keep_alive();
  BOOST_TEST((find("one").state == node_state::draining));
}

BOOST_AUTO_TEST_CASE(all_lives_of_the_name_that_go_on_are_meant) {
  at.enqueue_many(2);
  desk third{database.url()};
  third.join("one");
  BOOST_TEST((drain("one").id == third.node));
  BOOST_TEST(at.claim().jobs.empty());
  BOOST_TEST(third.claim().jobs.empty());
  third.leave();
  BOOST_TEST((resume("one").id == at.node)); // the newest of those that go on
  BOOST_TEST(at.claim().jobs.size() == 2U);
}

BOOST_AUTO_TEST_CASE(what_is_no_node_or_one_no_more_is_refused) {
  for (const bool drain : {true, false})
    BOOST_CHECK_EXCEPTION(steer("three", drain), refused, is_not_found);
  other.leave();
  for (const bool drain : {true, false})
    BOOST_CHECK_EXCEPTION(steer("two", drain), refused, is_conflict);
  at.enqueue();
  at.claim();
  at.leave(); // with a job that nobody has taken back yet
  BOOST_CHECK_EXCEPTION(drain("one"), refused, is_conflict);
}

BOOST_AUTO_TEST_CASE(a_life_that_was_ended_meanwhile_hears_what_was_asked_of_it) {
  make_old(at.node);
  BOOST_TEST((drain("one").state == node_state::silent)); // as yet
  other.rescue(at.node);
  const auto last = at.beat();
  BOOST_TEST(!last.alive);
  BOOST_TEST(last.draining);
}

BOOST_AUTO_TEST_CASE(who_drains_is_written_down_with_it) {
  const asker by{"ada", 7, "r-1"};
  steer("one", true, by);
  steer("one", false, by);
  BOOST_CHECK_THROW(steer("three", true, by), refused);
  BOOST_TEST(actions() == (std::vector<std::string>{"node.resume one ada", "node.drain one ada"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_a_claim_that_is_under_way) {
  let_wait("drain_node(text, boolean)");
  at.enqueue();
  at.begin();
  BOOST_TEST(at.claim().jobs.size() == 1U);
  other.send(db::drain_node_query({"one"}));
  BOOST_REQUIRE(other.waits(database));
  at.commit();
  BOOST_TEST(other.later_code() == errc::none);
  BOOST_TEST(find("one").queues.at(0).running == 1); // whoever looks after the drain sees it
}

BOOST_AUTO_TEST_CASE(a_claim_that_meets_a_drain_finds_nothing) {
  at.enqueue();
  other.begin();
  other.ask(db::drain_node_query({"one"}));
  at.send(db::claim_query({at.node, "default", 10}));
  BOOST_REQUIRE(at.waits(database));
  other.commit();
  const auto answer = at.later();
  BOOST_REQUIRE(std::holds_alternative<db::result>(answer));
  BOOST_TEST(db::decode_claimed(std::get<db::result>(answer), "default").jobs.empty());
}

BOOST_AUTO_TEST_CASE(a_drain_does_not_wait_for_ever) {
  at.enqueue();
  at.begin();
  BOOST_TEST(at.claim().jobs.size() == 1U);
  other.send(db::drain_node_query({"one"}));
  BOOST_TEST(other.later_code() == errc::retry);
  at.commit();
  BOOST_TEST((find("one").state == node_state::alive));
}

BOOST_AUTO_TEST_CASE(a_worker_by_sql_gets_nothing_either) {
  at.enqueue();
  at.ask(db::make_query("select troupe.join_node('psql')"));
  const auto claimed = [&] {
    return database.value("select count(*) from troupe.claim((select id from troupe.node where "
                          "name = 'psql'), 'default', 1)");
  };
  drain("psql");
  BOOST_TEST(claimed() == "0");
  resume("psql");
  BOOST_TEST(claimed() == "1");
}

BOOST_AUTO_TEST_CASE(a_node_that_drains_is_none_that_could_run_a_job) {
  const auto id = at.enqueue();
  drain("one");
  BOOST_TEST((at.why(id).reason != hold_reason::no_node));
  drain("two");
  BOOST_TEST((at.why(id).reason == hold_reason::no_node));
}

BOOST_AUTO_TEST_CASE(lists_by_state_tell_those_that_drain_apart) {
  drain("two");
  const auto names = [&](node_state state) {
    std::string out;
    const list_nodes what{state, {}, 100};
    for (const auto& node : db::decode_nodes(at.ask(db::nodes_query(what)), what).nodes)
      out += node.name + " ";
    return out;
  };
  BOOST_TEST(names(node_state::alive) == "one ");
  BOOST_TEST(names(node_state::draining) == "two ");
  make_old(other.node);
  BOOST_TEST(names(node_state::draining).empty());
  BOOST_TEST(names(node_state::silent) == "two ");
}

BOOST_AUTO_TEST_SUITE_END()
