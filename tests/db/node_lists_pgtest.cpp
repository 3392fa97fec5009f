// Nodes as an operator sees them: each life with its state, what it serves and what it runs.
#include "messages/version.hpp"
#include "tests/db/random_jobs.hpp"

#include <map>
#include <set>

using namespace troupe;
using namespace troupe::tests;

namespace {

struct nodes_database : random_jobs {
  node_page list(const list_nodes& what = {}) {
    return db::decode_nodes(at.ask(db::nodes_query(what)), what);
  }
  std::optional<node_record> find(const std::string& name) {
    return db::decode_node(at.ask(db::node_query({name})));
  }
  node_state state(const std::string& name) {
    const auto found = find(name);
    BOOST_REQUIRE(found.has_value());
    return found->state;
  }
  node_id join(join_node what) { return at.node = db::decode_join(at.ask(db::join_query(what))); }
  std::vector<std::int64_t> ids(const list_nodes& what) {
    std::vector<std::int64_t> out;
    const auto page = list(what);
    for (const auto& node : page.nodes)
      out.push_back(node.id.value);
    return out;
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(nodes, nodes_database)

BOOST_AUTO_TEST_CASE(a_node_is_shown_with_what_it_said_when_it_joined) {
  join_node ask{"n1"};
  ask.kinds = {"echo", "noop"};
  ask.slots = 4;
  ask.slot_queues = {"mail", "left"};
  ask.queue_slots = {2, 0};
  const auto id = join(ask);
  keep_alive();
  const auto node = find("n1");
  BOOST_REQUIRE(node.has_value());
  BOOST_TEST((node->id == id));
  BOOST_TEST((node->state == node_state::alive));
  BOOST_TEST(node->version == version);
  BOOST_TEST(*node->slots == 4);
  BOOST_TEST((*node->kinds == std::vector<std::string>{"echo", "noop"}));
  BOOST_TEST((node->heartbeat_at >= node->started_at));
  BOOST_TEST(!node->ended_at.has_value());
  BOOST_REQUIRE(node->queues.size() == 2U); // by name
  BOOST_TEST(node->queues[0].queue == "left");
  BOOST_TEST(*node->queues[0].slots == 0);
  BOOST_TEST(*node->queues[1].slots == 2);
  BOOST_TEST(node->queues[1].running == 0);
  at.ask(db::make_query("select troupe.join_node('worker')")); // which says nothing but its name
  const auto worker = find("worker");
  BOOST_TEST(!worker->slots.has_value());
  BOOST_TEST(!worker->kinds.has_value());
  BOOST_TEST(worker->version.empty());
  BOOST_TEST(!find("n2").has_value());
}

BOOST_AUTO_TEST_CASE(a_life_is_alive_silent_leaving_left_or_dead) {
  at.enqueue_many(2);
  const auto first = at.join("one");
  at.claim(1);
  keep_alive();
  BOOST_TEST((state("one") == node_state::alive));
  make_old(first);
  BOOST_TEST((state("one") == node_state::silent));
  at.rescue(first);
  BOOST_TEST((state("one") == node_state::dead));
  BOOST_TEST(find("one")->heartbeat_at.has_value());
  BOOST_TEST(find("one")->ended_at.has_value());
  const auto second = at.join("two");
  at.claim(1);
  at.leave();
  BOOST_TEST((state("two") == node_state::leaving));
  BOOST_TEST(find("two")->queues.at(0).running == 1);
  at.rescue(second);
  BOOST_TEST((state("two") == node_state::left));
  at.join("three");
  at.leave();
  BOOST_TEST((state("three") == node_state::left));
  BOOST_TEST(!find("three")->heartbeat_at.has_value());
}

BOOST_AUTO_TEST_CASE(lives_are_listed_by_state_newest_first_and_by_pages) {
  std::vector<std::int64_t> alive;
  std::vector<std::int64_t> left;
  for (int i = 0; i < 5; ++i) {
    left.insert(left.begin(), at.join("again").value);
    at.leave();
    alive.insert(alive.begin(), at.join(i % 2 == 0 ? "again" : "other").value);
  }
  keep_alive();
  BOOST_TEST(ids({}) == alive, boost::test_tools::per_element());
  BOOST_TEST(ids({node_state::alive, {}, 100}) == alive, boost::test_tools::per_element());
  BOOST_TEST(ids({node_state::left, {}, 100}) == left, boost::test_tools::per_element());
  BOOST_TEST(ids({node_state::dead, {}, 100}).empty());
  BOOST_TEST(find("again")->id.value == alive.front());
  std::vector<std::int64_t> seen;
  list_nodes ask{node_state::left, {}, 2};
  for (int pages = 0; pages < 4; ++pages) {
    const auto page = list(ask);
    for (const auto& node : page.nodes)
      seen.push_back(node.id.value);
    if (!page.next)
      break;
    ask.before = *page.next;
  }
  BOOST_TEST(seen == left, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_page_of_nodes_with_many_kinds_ends_early_and_none_is_left_out) {
  // More than an answer of the database may have: 300 lives of 1,000 kinds with names of 250 bytes,
  // which no worker may have.
  at.ask(db::make_query(
      "insert into troupe.node (name, kinds) select 'w' || g, array(select repeat('k', 250) from "
      "generate_series(1, 1000)) from generate_series(1, 300) g"));
  std::vector<std::size_t> sizes;
  std::set<std::int64_t> seen;
  list_nodes ask{{}, {}, 500};
  for (;;) {
    const auto page = list(ask);
    sizes.push_back(page.nodes.size());
    for (const auto& node : page.nodes)
      seen.insert(node.id.value);
    if (!page.next)
      break;
    ask.before = *page.next;
  }
  // 16 MiB are reached with the 68th.
  BOOST_TEST(sizes == (std::vector<std::size_t>{68, 68, 68, 68, 28}),
             boost::test_tools::per_element());
  BOOST_TEST(seen.size() == 300U);
}

BOOST_AUTO_TEST_CASE(what_the_nodes_run_is_what_runs_whatever_has_happened) {
  for (int round = 0; round < 4; ++round) {
    at.join("n" + std::to_string(round));
    if (jobs.empty())
      play(60);
    for (int step = 0; step < 40; ++step) {
      put_in();
      run_some();
      steer();
    }
  }
  for (int round = 0; round < 4; ++round) {
    const auto name = "n" + std::to_string(round);
    const auto rows = at.ask(db::make_query(
        "select j.queue, count(*) from troupe.jobs j join lateral troupe.get_job(j.id) g on true "
        "where j.state = 'running' and g.node = $1 group by j.queue order by j.queue",
        name));
    std::map<std::string, std::int64_t> expected;
    for (int i = 0; i < rows.rows(); ++i)
      expected[rows[i].get<std::string>(0)] = rows[i].get<std::int64_t>(1);
    BOOST_TEST(!expected.empty(), name);
    std::map<std::string, std::int64_t> told;
    const auto node = find(name);
    BOOST_REQUIRE(node.has_value());
    for (const auto& queue : node->queues)
      told[queue.queue] = queue.running;
    BOOST_TEST((told == expected), name);
    std::map<std::string, std::int64_t> in_list;
    const auto page = list();
    for (const auto& each : page.nodes)
      if (each.name == name)
        for (const auto& queue : each.queues)
          in_list[queue.queue] = queue.running;
    BOOST_TEST((in_list == expected), name);
  }
}

BOOST_AUTO_TEST_SUITE_END()
