// The frames of `troupe top`: what stands in them, and that they fit any terminal.
#include "cli/text.hpp"
#include "cli/top_view.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <random>

using namespace troupe::cli;
using namespace std::chrono_literals;

namespace {

queue_figures queue(const std::string& name, std::int64_t available, std::int64_t completed,
                    std::int64_t discarded = 0) {
  queue_figures out;
  out.name = name;
  out.available = available;
  out.completed = completed;
  out.discarded = discarded;
  return out;
}

const std::chrono::system_clock::time_point noon{1'795'867'200s};

top_reading reading(std::chrono::milliseconds at, std::vector<queue_figures> queues) {
  top_reading out;
  out.counted_at = std::chrono::steady_clock::time_point{1h} + at;
  out.taken_at = noon;
  out.queues = std::move(queues);
  out.node = {"n1", "1.0", "ok", {}, 3, 0, 12};
  return out;
}

std::vector<std::string> texts(const std::vector<screen_line>& lines) {
  std::vector<std::string> out;
  for (const auto& line : lines)
    out.push_back(line.text);
  return out;
}

std::size_t at(const std::vector<std::string>& lines, const std::string& start) {
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (lines[i].starts_with(start))
      return i;
  return lines.size();
}

top_input input_of(const top_reading& now, const top_reading* before = nullptr) {
  return {&now, before, {}, "http://h:1", ""};
}

} // namespace

BOOST_AUTO_TEST_CASE(rates_are_what_changed_by_the_time_between) {
  const auto before = reading(0ms, {queue("a", 10, 100, 1), queue("gone", 1, 1)});
  const auto now = reading(2s, {queue("a", 4, 116, 3), queue("new", 3, 0)});
  const auto rates = rates_between(before, now);
  BOOST_REQUIRE(rates.size() == 2);
  BOOST_TEST(rates[0].in == 6);
  BOOST_TEST(rates[0].done == 8);
  BOOST_TEST(rates[0].failed == 1);
  BOOST_TEST(rates[1].in == 1.5);
  BOOST_TEST(rates_between(now, before).empty());
  BOOST_TEST(rates_between(now, now).empty());
}

BOOST_AUTO_TEST_CASE(what_was_deleted_makes_no_rate_negative) {
  const auto before = reading(0ms, {queue("a", 10, 100)});
  const auto rates = rates_between(before, reading(1s, {queue("a", 10, 50)}));
  BOOST_TEST(rates[0].in == 0);
  BOOST_TEST(rates[0].done == 0);
}

BOOST_AUTO_TEST_CASE(a_queue_that_was_not_read_before_has_no_rate) {
  auto before = reading(0ms, {});
  before.more_queues = true;
  BOOST_TEST(rates_between(before, reading(1s, {queue("a", 1000, 0)}))[0].in == 0);
}

BOOST_AUTO_TEST_CASE(a_frame_holds_queues_and_running_jobs) {
  const auto before = reading(0ms, {queue("mail", 10, 100), queue("post", 0, 5)});
  auto now = reading(1s, {queue("mail", 2, 110), queue("post", 700, 5)});
  now.queues[1].paused = true;
  now.running = {{"17", "mail", "send", "1", "3", {"n2", "45%", noon - 75s}},
                 {"18", "mail", "send", "2", "3", {}}};
  now.node.trouble = {"pool: callers wait"};
  now.nodes = {{"n1", "alive", 3}, {"n2", "silent", 1}};
  const auto lines = texts(top_frame(input_of(now, &before), {24, 100}));
  BOOST_TEST(lines.size() == 24);
  BOOST_TEST(lines[0] == "troupe http://h:1  node n1 1.0  ok  2026-11-28T12:00:00Z");
  BOOST_TEST(lines[1]
             == "jobs: 702 waiting, 0 running, 0 retrying, 0 scheduled, 0 failed; in 702/s, "
                "done 10.0/s, failing 0.0…");
  BOOST_TEST(lines[2].starts_with("node: 3 slots taken, 12 claimed ahead, 0 stuck; jobs on all "
                                  "nodes: n1 3, n2 1 (silent)"));
  BOOST_TEST(lines[3] == "trouble: pool: callers wait");
  BOOST_TEST(lines[4]
             == "QUEUE+         WAITING  RUNNING  RETRYING  SCHEDULED  FAILED  IN/S  DONE/S  "
                "FAIL/S");
  BOOST_TEST(lines[5].starts_with("mail                 2"));
  BOOST_TEST(lines[5].find("   2.0    10.0     0.0") != std::string::npos);
  BOOST_TEST(lines[6].starts_with("post (paused)      700"));
  const auto jobs = at(lines, "JOB  KIND   AGE");
  BOOST_REQUIRE(jobs < lines.size());
  BOOST_TEST(lines[jobs + 1] == " 17  send  1:15  mail   n2        1/3  45%");
  BOOST_TEST(lines[jobs + 2] == " 18  send     -  mail             2/3");
  BOOST_TEST(lines.back().starts_with("q quit"));
}

BOOST_AUTO_TEST_CASE(queues_stand_in_the_order_that_was_asked_for) {
  const auto before = reading(0ms, {queue("a", 1, 0), queue("b", 1, 0), queue("c", 1, 0)});
  const auto now = reading(1s, {queue("a", 5, 1), queue("b", 9, 0), queue("c", 7, 3)});
  const auto order = [&](top_order by) {
    auto input = input_of(now, &before);
    input.order = by;
    std::string out;
    for (const auto& line : texts(top_frame(input, {24, 120})))
      if (line.size() > 1 && line[1] == ' ' && line[0] >= 'a' && line[0] <= 'c')
        out += line[0];
    return out;
  };
  BOOST_TEST(order({top_column::queue, false}) == "abc");
  BOOST_TEST(order({top_column::queue, true}) == "cba");
  BOOST_TEST(order({top_column::waiting, true}) == "bca");
  BOOST_TEST(order({top_column::waiting, false}) == "acb");
  BOOST_TEST(order({top_column::done_rate, true}) == "cab");
  BOOST_TEST(order({top_column::in_rate, true}) == "cba");
  BOOST_TEST(order({top_column::running, true}) == "abc");
}

BOOST_AUTO_TEST_CASE(the_order_moves_through_all_columns_and_round) {
  top_order order = top_order::usual(top_column::queue);
  BOOST_TEST(!order.descending);
  for (int i = 1; i < top_columns; ++i) {
    order = order.moved(1);
    BOOST_TEST(static_cast<int>(order.by) == i);
    BOOST_TEST(order.descending);
    BOOST_TEST((read_top_column(name_of(order.by)) == order.by));
  }
  BOOST_TEST((order.moved(1).by == top_column::queue));
  BOOST_TEST((order.moved(1).moved(-1).by == top_column::fail_rate));
  BOOST_TEST(top_column_names().size() == top_columns);
}

BOOST_AUTO_TEST_CASE(narrow_terminals_keep_the_column_that_sorts) {
  const auto now = reading(1s, {queue("mail", 2, 110)});
  auto input = input_of(now);
  BOOST_TEST(texts(top_frame(input, {24, 40}))[3] == "QUEUE+  WAITING  RUNNING  FAILED  DONE/S");
  input.order = top_order::usual(top_column::scheduled);
  BOOST_TEST(texts(top_frame(input, {24, 30}))[3] == "QUEUE  WAITING  SCHEDULED-");
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_counted) {
  std::vector<queue_figures> queues;
  for (int i = 0; i < 50; ++i)
    queues.push_back(queue("q" + std::to_string(100 + i), i, 0));
  auto now = reading(1s, queues);
  for (int i = 0; i < 30; ++i)
    now.running.push_back({std::to_string(i), "q", "k", "1", "1", {}});
  const auto lines = texts(top_frame(input_of(now), {24, 80}));
  BOOST_TEST(lines.size() == 24);
  // 3 lines of head, 10 of queues with titles, an empty one, 9 of jobs, 1 of keys.
  BOOST_TEST(lines[12] == "and 42 more");
  BOOST_TEST(lines[22] == "and 23 more");
  now.more_running = true;
  BOOST_TEST(texts(top_frame(input_of(now), {24, 80}))[22] == "at least 23 more");
}

BOOST_AUTO_TEST_CASE(a_tiny_terminal_gets_the_head) {
  const auto now = reading(1s, {queue("mail", 2, 110)});
  BOOST_TEST((texts(top_frame(input_of(now), {1, 10})) == std::vector<std::string>{"troupe ht…"}));
  BOOST_TEST(top_frame(input_of(now), {0, 0}).size() == 1);
  BOOST_TEST(top_frame(input_of(now), {4, 80}).size() == 3);
  BOOST_TEST(texts(top_frame(input_of(now), {5, 80}))[4].starts_with("mail "));
}

BOOST_AUTO_TEST_CASE(no_frame_is_larger_than_its_terminal_or_drives_it) {
  std::mt19937 random{20261128};
  const auto upto = [&](int most) { return std::uniform_int_distribution{0, most}(random); };
  const auto name = [&] {
    const std::vector<std::string> pieces{"mail", "é",      "名前", "\x1b[2J",
                                          "\xff", "\u202e", "\n",   "x"};
    std::string out;
    for (int i = upto(8); i >= 0; --i)
      out += pieces[static_cast<std::size_t>(upto(7))];
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<queue_figures> queues;
    for (int i = upto(20); i > 0; --i)
      queues.push_back(queue(name(), std::int64_t{1} << upto(50), upto(1000)));
    auto now = reading(1s, queues);
    now.more_queues = upto(3) == 0;
    now.more_running = upto(3) == 0;
    for (int i = upto(20); i > 0; --i)
      now.running.push_back({name(), name(), name(), "1", "3", {name(), name(), noon}});
    now.node.name = name();
    for (int i = upto(5); i > 0; --i)
      now.nodes.push_back({name(), name(), upto(9)});
    now.node.trouble.assign(static_cast<std::size_t>(upto(3)), name());
    auto before = reading(std::chrono::milliseconds{upto(1)}, queues);
    top_input input{&now, upto(1) == 1 ? &before : nullptr, {}, name(), upto(1) == 1 ? name() : ""};
    input.order = top_order{}.moved(upto(20));
    const terminal_size size{upto(40), upto(130)};
    const auto frame = top_frame(input, size);
    BOOST_TEST(static_cast<int>(frame.size()) <= std::max(size.rows, 1));
    for (const auto& line : frame) {
      BOOST_TEST(display_width(line.text) <= std::max(size.columns, 1), line.text);
      BOOST_TEST(printable(line.text) == line.text);
    }
    const auto text = top_text(input, 0);
    BOOST_TEST(text.find('\x1b') == std::string::npos);
    BOOST_TEST(nlohmann::json::accept(top_json(input)));
  }
}

BOOST_AUTO_TEST_CASE(programs_get_one_object) {
  const auto before = reading(0ms, {queue("mail", 10, 100)});
  auto now = reading(500ms, {queue("mail", 2, 110)});
  now.running = {{"17", "mail", "send", "1", "3", {"n2", "", noon - 75s}}};
  now.nodes = {{"n2", "alive", 1}};
  const auto read = nlohmann::json::parse(top_json(input_of(now, &before)));
  BOOST_TEST(read["seconds"] == 0.5);
  BOOST_TEST(read["queues"][0]["completed_per_second"] == 20.0);
  BOOST_TEST(read["queues"][0]["available"] == 2);
  BOOST_TEST(read["running"][0]["age_seconds"] == 75.0);
  BOOST_TEST(read["running"][0]["node"] == "n2");
  BOOST_TEST(read["running"][0]["attempt"] == 1);
  BOOST_TEST(read["node"]["status"] == "ok");
  BOOST_TEST(read["nodes"]
             == nlohmann::json::parse(R"([{"name":"n2","state":"alive","running":1}])"));
  const auto first = nlohmann::json::parse(top_json(input_of(now)));
  BOOST_TEST(first["queues"][0]["completed_per_second"].is_null());
}
