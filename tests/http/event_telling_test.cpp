// What streams are told over whatever reconnects: each state that is another, each line of a log
// once.
#include "tests/http/event_desk.hpp"

#include <random>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

namespace {

/// A client that keeps what it was told, and checks that nothing comes twice.
struct listener {
  event_client client;
  std::map<std::string, std::string> states; ///< of jobs, or of queues
  std::map<std::string, std::vector<std::string>> lines;
  std::set<std::string> ended;
  bool done = false;

  /// Of the first `most` events; the others never arrived.
  void hear(const std::string& text, std::size_t most) {
    for (const auto& one : read_events(text)) {
      if (one.id.empty())
        continue;
      if (most-- == 0)
        return;
      client.last_id = one.id;
      const auto id = text_member(one.data, "id");
      if (one.name == "job" || one.name == "queue") {
        auto& known = states[one.name == "job" ? id : text_member(one.data, "name")];
        BOOST_TEST(known != one.data);
        known = one.data;
        ended.erase(id);
      } else if (one.name == "log") {
        lines[text_member(one.data, "job")].push_back(text_member(one.data, "text"));
      } else if (one.name == "end") {
        BOOST_TEST(ended.insert(id).second);
        const auto state = text_member(one.data, "state");
        BOOST_TEST((state == "completed" || state == "cancelled"));
        BOOST_TEST(text_member(states[id], "state") == state);
      } else if (one.name == "gone") {
        BOOST_TEST(states.erase(id.empty() ? text_member(one.data, "queue") : id) == 1U);
      } else {
        BOOST_TEST(one.name == "done");
        done = true;
      }
    }
  }
};

/// One thing by chance, to one of these jobs or by the client.
void play_step(event_desk& at, listener& one, std::int64_t id, int step, std::mt19937& random) {
  const auto by_chance = [&](unsigned most) { return random() % most; };
  at.patience = by_chance(4); // some answers are late
  switch (by_chance(9)) {
  case 0:
    at.engine->set(id, by_chance(2) == 0 ? job_state::running : job_state::available);
    break;
  case 1:
    at.engine->job(id).record.priority = static_cast<int>(by_chance(10));
    ++at.engine->job(id).mark;
    break;
  case 2:
    if (!at.engine->job(id).ended())
      at.engine->say(id, std::to_string(step));
    break;
  case 3:
    if (by_chance(4) == 0)
      at.engine->set(id, job_state::completed);
    break;
  case 4:
    at.engine->away = by_chance(4) == 0;
    break;
  case 5:
    one.client.ask();
    break;
  case 6: // cut off within a piece, perhaps
    if (auto piece = one.client.take()) {
      const bool cut = by_chance(3) == 0;
      one.hear(*piece, cut ? by_chance(4) : 1'000'000);
      if (cut)
        one.client.leave();
    }
    break;
  case 7:
    if (!one.client.connected())
      one.client.open();
    break;
  default:
    at.tick();
  }
}

/// All jobs end; the client is told until it hears that that is all.
void play_end(event_desk& at, listener& one, const std::vector<std::int64_t>& ids) {
  at.engine->away = false;
  at.patience = std::numeric_limits<std::size_t>::max();
  at.work();
  for (const auto id : ids)
    if (!at.engine->job(id).ended())
      at.engine->set(id, job_state::cancelled);
  if (auto piece = one.client.take())
    one.hear(*piece, 1'000'000);
  one.done = false;
  for (int i = 0; i < 50 && !one.done; ++i) {
    if (!one.client.connected())
      one.client.open();
    at.tick();
    one.hear(one.client.read(), 1'000'000);
    if (one.client.status == 204)
      one.done = true;
  }
}

/// It knows of all jobs what is the case, and what they said.
void check_end(event_desk& at, listener& one, const std::vector<std::int64_t>& ids) {
  BOOST_TEST(one.done);
  BOOST_TEST(one.ended.size() == ids.size());
  for (const auto id : ids) {
    const auto& job = at.engine->job(id);
    std::vector<std::string> said;
    for (const auto& line : job.lines)
      said.push_back(line.text);
    BOOST_TEST(one.lines[std::to_string(id)] == said, boost::test_tools::per_element());
    const auto& state = one.states[std::to_string(id)];
    BOOST_TEST(text_member(state, "state") == to_string(job.record.state));
    BOOST_TEST(state.find("\"priority\":" + std::to_string(job.record.priority))
               != std::string::npos);
  }
}

} // namespace

BOOST_AUTO_TEST_CASE(who_lost_the_last_event_gets_it_and_then_204) {
  event_desk at;
  at.engine->set(17, job_state::cancelled);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  const auto events = read_events(client.read());
  BOOST_REQUIRE(events.size() == 4U);
  client.last_id = events[2].id; // `end`, and not `done`
  client.open();
  at.tick();
  BOOST_TEST(names_of(client.read()) == "done");
}

BOOST_AUTO_TEST_CASE(a_job_that_went_before_it_was_told_of_is_gone_for_who_comes_back) {
  event_desk at;
  at.engine->set(17, job_state::running);
  at.engine->set(18, job_state::running);
  event_client client(at, of_jobs({17, 18}));
  client.open();
  at.tick();
  const auto events = read_events(client.read());
  BOOST_REQUIRE(events.size() == 3U);
  client.last_id = events[1].id; // the connection broke behind what is said of 17
  client.leave();
  at.engine->jobs.erase(18);
  client.open();
  at.tick();
  BOOST_TEST(client.status == 200);
  BOOST_TEST(names_of(client.read()) == "gone");
}

BOOST_AUTO_TEST_CASE(a_slow_reader_is_told_the_last_state_only_and_every_line) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.ask(); // what is there goes out, and is not taken
  for (int i = 0; i < 1000; ++i) {
    at.engine->job(17).record.priority = i % 10;
    at.engine->set(17, job_state::running);
    at.engine->say(17, "line");
    at.tick();
  }
  const auto asked = at.engine->count<get_log>();
  BOOST_TEST(asked == 0U); // nobody wanted them yet
  BOOST_REQUIRE(client.take().has_value());
  std::size_t jobs = 0;
  std::size_t lines = 0;
  for (const auto& one : read_events(client.read())) {
    jobs += one.name == "job" ? 1 : 0;
    lines += one.name == "log" ? 1 : 0;
  }
  BOOST_TEST(jobs == 1U);
  BOOST_TEST(lines == 1000U);
}

BOOST_AUTO_TEST_CASE(a_piece_is_bounded_and_what_is_left_comes_after_it) {
  http::event_limits most;
  most.piece = 500;
  event_desk at{most};
  for (int i = 0; i < 300; ++i) {
    const auto name = "q" + std::to_string(i);
    at.engine->queues[name].name = name;
  }
  event_client client(at, {});
  client.open();
  at.tick();
  std::size_t seen = 0;
  for (client.ask(); auto piece = client.take(); client.ask()) {
    BOOST_TEST(piece->size() < 500U + 3000U);
    for (const auto& one : read_events(*piece))
      seen += one.name == "queue" ? 1 : 0;
  }
  BOOST_TEST(seen == 300U);
}

BOOST_AUTO_TEST_CASE(over_reconnects_by_chance_nothing_is_lost_and_nothing_comes_twice) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937 random{seed};
    const auto by_chance = [&](unsigned most) { return random() % most; };
    http::event_limits most;
    most.piece = 200 + by_chance(3000);
    most.log_lines = 1 + static_cast<int>(by_chance(5));
    most.lookups = 1 + by_chance(4);
    event_desk at{most};
    const std::vector<std::int64_t> ids{3, 5, 8};
    for (const auto id : ids)
      at.engine->set(id, job_state::available);
    // Two, at different places of the same logs.
    listener one{event_client{at, of_jobs(ids)}, {}, {}, {}, false};
    listener other{event_client{at, of_jobs(ids)}, {}, {}, {}, false};
    for (int step = 0; step < 600; ++step)
      play_step(at, by_chance(2) == 0 ? one : other, ids[by_chance(3)], step, random);
    for (auto* each : {&one, &other}) {
      play_end(at, *each, ids);
      check_end(at, *each, ids);
    }
  }
}

BOOST_AUTO_TEST_CASE(queues_are_told_over_reconnects_by_chance_as_they_are) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 random{seed};
    const auto by_chance = [&](unsigned most) { return random() % most; };
    http::event_limits most;
    most.piece = 100 + by_chance(2000);
    event_desk at{most};
    // More than an id can name, in some plays.
    const auto width = seed % 3 == 0 ? 130U : 12U;
    const bool named = seed % 3 == 1;
    event_subject subject;
    if (named)
      subject.queues = {"q1", "q2", "q9"};
    listener one{event_client{at, subject}, {}, {}, {}, false};
    const bool exact = width <= http::event_bounds::subjects;
    for (int step = 0; step < 400; ++step) {
      const auto name = "q" + std::to_string(by_chance(width));
      switch (by_chance(7)) {
      case 0:
      case 1: {
        auto& queue = at.engine->queues[name];
        queue.name = name;
        queue.waiting = static_cast<std::int64_t>(by_chance(4));
        break;
      }
      case 2:
        one.client.ask();
        break;
      case 3:
        if (auto piece = one.client.take()) {
          const bool cut = by_chance(3) == 0;
          one.hear(*piece, cut ? by_chance(4) : 1'000'000);
          if (cut) {
            one.client.leave();
            if (!exact) // then all of it may come once more
              one.states.clear();
          }
        }
        break;
      case 4:
        if (!one.client.connected())
          one.client.open();
        break;
      default:
        at.tick(500ms);
      }
    }
    for (int i = 0; i < 6; ++i) {
      if (auto piece = one.client.take())
        one.hear(*piece, 1'000'000);
      if (!one.client.connected())
        one.client.open();
      at.tick(1000ms);
      one.hear(one.client.read(), 1'000'000);
    }
    if (!exact)
      continue;
    std::size_t expected = 0;
    for (const auto& [name, queue] : at.engine->queues) {
      if (named
          && std::find(subject.queues.begin(), subject.queues.end(), name) == subject.queues.end())
        continue;
      ++expected;
      BOOST_TEST(one.states[name].find("\"waiting\":" + std::to_string(queue.waiting) + ',')
                     != std::string::npos,
                 name);
    }
    BOOST_TEST(one.states.size() == expected, seed);
  }
}

BOOST_AUTO_TEST_CASE(of_more_queues_than_an_id_names_all_come_again_if_one_changed) {
  event_desk at;
  for (int i = 0; i < 130; ++i) {
    const auto name = "q" + std::to_string(i);
    at.engine->queues[name].name = name;
  }
  event_client client(at, {});
  client.open();
  at.tick();
  const auto first = read_events(client.read());
  BOOST_TEST(first.size() == 131U);
  client.last_id = first.back().id;
  BOOST_TEST(client.last_id.size() < 40U);
  client.open();
  at.tick(1s);
  BOOST_TEST(names_of(client.read()) == "");
  at.engine->queues["q7"].waiting = 1;
  client.open();
  at.tick(1s);
  BOOST_TEST(read_events(client.read()).size() == 131U);
}

BOOST_AUTO_TEST_CASE(a_queue_that_vanishes_is_gone) {
  event_desk at;
  at.engine->queues["mail"].name = "mail";
  event_client client(at, {});
  client.open();
  at.tick();
  client.read();
  at.engine->queues.clear();
  at.tick(1s);
  const auto text = client.read();
  BOOST_TEST(names_of(text) == "gone");
  BOOST_TEST(read_events(text).at(0).data == R"({"queue":"mail"})");
}

BOOST_AUTO_TEST_CASE(pieces_about_many_jobs_are_bounded) {
  http::event_limits most;
  most.piece = 1'000;
  event_desk at{most};
  std::vector<std::int64_t> ids;
  for (std::int64_t id = 1; id <= 20; ++id) {
    at.engine->set(id, job_state::running);
    ids.push_back(id);
  }
  event_client client(at, of_jobs(ids));
  client.open();
  at.tick();
  std::size_t seen = 0;
  for (client.ask(); auto piece = client.take(); client.ask()) {
    BOOST_TEST(piece->size() < 3'000U);
    seen += read_events(*piece).size();
  }
  BOOST_TEST(seen == 21U); // with the greeting
}

BOOST_AUTO_TEST_CASE(an_id_goes_from_naming_each_queue_to_all_of_them_together) {
  event_desk at;
  const auto add = [&](std::size_t nth) {
    const auto name = "q" + std::to_string(nth);
    at.engine->queues[name].name = name;
  };
  for (std::size_t i = 0; i < http::event_bounds::subjects; ++i)
    add(i);
  event_client client(at, {});
  client.open();
  at.tick();
  client.last_id = read_events(client.read()).back().id;
  client.open();
  add(http::event_bounds::subjects);
  at.tick(1s);
  const auto events = read_events(client.read());
  BOOST_TEST(events.size() == 2U);
  client.last_id = events.back().id;
  client.open();
  at.tick(1s);
  BOOST_TEST(names_of(client.read()) == "");
}

BOOST_AUTO_TEST_CASE(what_had_ended_and_runs_again_has_no_end) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.read();
  at.engine->set(17, job_state::completed);
  at.patience = 0;
  at.tick(); // sees that it has ended
  at.engine->set(17, job_state::available);
  at.patience = 100;
  at.work();
  BOOST_TEST(names_of(client.read()) == ""); // as it was told
}

namespace {

/// A lookup of job 17 is under way, and the next look was faster; what it saw is handled.
struct overtaken : event_desk {
  template<class Change>
  explicit overtaken(Change change) {
    engine->set(17, job_state::available);
    engine->set(18, job_state::available);
    client.open();
    tick();
    client.read();
    client.ask();
    engine->set(17, job_state::completed);
    patience = 1;
    tick(); // the look is answered, the lookup is not
    BOOST_REQUIRE(tasks.size() == 1U);
    change(*engine);
    patience = 0;
    tick();
    BOOST_REQUIRE(tasks.size() == 2U);
    std::swap(tasks[0], tasks[1]);
    patience = 1;
    work();
  }
  event_client client{*this, of_jobs({17, 18})};
};

} // namespace

BOOST_AUTO_TEST_CASE(an_end_waits_for_the_newest_state) {
  overtaken at{[](event_engine& engine) {
    engine.job(17).record.priority = 5;
    engine.set(17, job_state::completed);
  }};
  at.work(); // the first lookup
  at.patience = 0;
  BOOST_TEST(names_of(at.client.read()) == "job");
  at.patience = 100;
  at.work();
  BOOST_TEST(names_of(at.client.read()) == "job end");
}

BOOST_AUTO_TEST_CASE(a_job_that_was_read_before_it_went_stays_gone) {
  overtaken at{[](event_engine& engine) { engine.jobs.erase(17); }};
  at.patience = 100;
  at.work();
  BOOST_TEST(names_of(at.client.read()) == "gone");
}
