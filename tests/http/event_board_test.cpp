// Streams of events from their beginning to their end: what is asked for them, what is refused, and
// nothing at all while nobody listens. What they are told over reconnects is in event_telling_test.
#include "tests/http/event_desk.hpp"

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(while_nobody_listens_nothing_is_asked) {
  event_desk at;
  at.engine->set(17, job_state::available);
  for (int i = 0; i < 100; ++i)
    at.tick();
  BOOST_TEST(at.engine->asked.empty());
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.read();
  client.leave();
  const auto before = at.engine->asked.size();
  for (int i = 0; i < 100; ++i)
    at.tick();
  BOOST_TEST(at.engine->asked.size() == before);
}

BOOST_AUTO_TEST_CASE(a_job_is_told_from_its_first_state_to_its_end) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  BOOST_TEST(client.status == 0);
  at.tick();
  BOOST_TEST(client.status == 200);
  auto text = client.read();
  BOOST_TEST(text.starts_with("retry: 2000\n\n"));
  BOOST_TEST(names_of(text) == "job");
  BOOST_TEST(read_events(text).at(1).data.find(R"("state":"available")") != std::string::npos);
  BOOST_TEST(read_events(text).at(1).data.find(R"("args")") == std::string::npos);
  at.tick();
  BOOST_TEST(client.read() == "");
  at.engine->set(17, job_state::running);
  at.engine->say(17, "one");
  at.engine->say(17, "two");
  at.tick();
  BOOST_TEST(names_of(client.read()) == "job log log");
  at.engine->say(17, "three");
  at.engine->set(17, job_state::completed);
  at.tick();
  text = client.read();
  BOOST_TEST(names_of(text) == "job log end done");
  BOOST_TEST(read_events(text).at(2).data == R"({"id":"17","state":"completed"})");
  BOOST_TEST(!client.connected());
  BOOST_TEST(at.board->streams() == 0U);
  client.last_id = read_events(text).at(3).id;
  client.open();
  at.tick();
  BOOST_TEST(client.status == 204);
  // It runs once more: then there is something to tell.
  at.engine->set(17, job_state::available);
  client.open();
  at.tick();
  BOOST_TEST(client.status == 200);
  BOOST_TEST(names_of(client.read()) == "job");
}

BOOST_AUTO_TEST_CASE(a_job_that_is_not_there_is_404_and_one_that_went_is_gone) {
  event_desk at;
  event_client none(at, of_jobs({18}));
  none.open();
  at.tick();
  BOOST_TEST(none.status == 404);
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.read();
  at.engine->jobs.erase(17);
  at.tick();
  BOOST_TEST(names_of(client.read()) == "gone done");
}

BOOST_AUTO_TEST_CASE(many_streams_share_the_looks) {
  event_desk at;
  at.engine->set(17, job_state::running);
  std::vector<std::unique_ptr<event_client>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(std::make_unique<event_client>(at, of_jobs({17})));
    clients.back()->open();
  }
  at.tick();
  for (const auto& one : clients)
    one->read();
  at.engine->asked.clear();
  at.engine->say(17, "heard by all");
  for (const auto& one : clients)
    one->ask();
  at.tick();
  for (const auto& one : clients)
    BOOST_TEST(names_of(one->read()) == "log");
  BOOST_TEST(at.engine->count<watch_jobs>() == 1U);
  BOOST_TEST(at.engine->count<get_log>() == 1U);
  BOOST_TEST(at.engine->count<get_job>() == 0U);
}

BOOST_AUTO_TEST_CASE(of_more_jobs_than_are_looked_at_together_each_has_its_turn) {
  http::event_limits most;
  most.looked_at = 3;
  event_desk at{most};
  std::vector<std::unique_ptr<event_client>> clients;
  const auto join = [&](std::int64_t id) {
    at.engine->set(id, job_state::available);
    clients.push_back(std::make_unique<event_client>(at, of_jobs({id, 100})));
    clients.back()->open();
  };
  at.engine->set(100, job_state::available);
  for (const std::int64_t id : {8, 3, 5, 1, 9, 20})
    join(id);
  for (int turn = 0; turn < 20; ++turn) {
    if (turn == 5)
      join(4);
    if (turn == 8)
      clients.at(1)->leave();
    at.engine->asked.clear();
    at.tick();
    BOOST_REQUIRE(at.engine->count<watch_jobs>() == 1U);
    for (const auto& one : at.engine->asked)
      if (const auto* look = std::get_if<watch_jobs>(&one))
        BOOST_TEST(look->jobs.size() == 3U);
    if (turn < 8 || turn % 3 != 2)
      continue; // seven jobs, three at a time
    for (const auto& one : clients)
      one->read();
    for (const std::int64_t id : {100, 1 + turn % 2 * 3}) {
      at.engine->job(id).record.priority = turn % 10; // 8, 1, 4, 7
      ++at.engine->job(id).mark;
    }
    std::size_t heard = 0;
    for (int i = 0; i < 3; ++i) {
      at.tick();
      for (const auto& one : clients)
        for (const auto& told : read_events(one->read()))
          heard += told.name == "job" ? 1 : 0;
    }
    BOOST_TEST(heard == clients.size()); // one of them of two jobs, and one has left
  }
}

BOOST_AUTO_TEST_CASE(a_stream_of_a_hundred_jobs_is_told_once_however_many_changed) {
  event_desk at;
  std::vector<std::int64_t> ids;
  for (std::int64_t id = 1; id <= 100; ++id)
    ids.push_back(id);
  for (const auto id : ids)
    at.engine->set(id, job_state::running);
  event_client client(at, of_jobs(ids));
  client.open();
  at.tick();
  client.read();
  client.ask();
  for (const auto id : ids)
    at.engine->jobs.erase(id);
  at.tick();
  const auto piece = client.take();
  BOOST_REQUIRE(piece.has_value());
  const auto events = read_events(*piece); // some of it: an id says of each job what was told
  BOOST_TEST(events.size() > 20U);
  BOOST_TEST(piece->size() < 64U * 1024 + 3000);
  std::size_t gone = 0;
  for (const auto& one : read_events(*piece + client.read()))
    gone += one.name == "gone" ? 1 : 0;
  BOOST_TEST(gone == 100U);
}

BOOST_AUTO_TEST_CASE(who_comes_back_is_refused_only_by_what_is_the_case_then) {
  event_desk at;
  at.engine->tokens["hash"] = token_standing::live;
  http::token_identity mail;
  mail.name = "m";
  mail.queues = {"mail"};
  at.engine->set(17, job_state::completed);
  at.engine->set(18, job_state::running);
  event_client other(at, of_jobs({17, 18})); // what it was told of 17 is known to the board
  other.open();
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  other.read();
  client.last_id = read_events(client.read()).back().id;
  at.engine->set(17, job_state::available); // retried, and then its stream is asked for again
  client.open();
  at.tick();
  BOOST_TEST(client.status == 200);
  BOOST_TEST(names_of(client.read()) == "job");
  client.leave();
  client.last_id.clear();
  at.engine->job(17).record.queue = "mail"; // moved, and then asked for by who may hear of it
  at.engine->set(17, job_state::available);
  client.open(std::make_shared<const http::token_identity>(mail), "hash");
  at.tick();
  BOOST_TEST(client.status == 200);
  BOOST_TEST(names_of(client.read()) == "job");
}

BOOST_AUTO_TEST_CASE(beyond_its_bounds_a_board_says_503) {
  http::event_limits most;
  most.streams = 2;
  most.jobs = 3;
  event_desk at{most};
  for (int i = 1; i < 6; ++i)
    at.engine->set(i, job_state::available);
  event_client a(at, of_jobs({1, 2}));
  event_client b(at, of_jobs({3, 4}));
  event_client c(at, of_jobs({2, 3}));
  event_client d(at, of_jobs({1}));
  a.open();
  b.open();
  BOOST_TEST(b.status == 503);
  c.open();
  d.open();
  BOOST_TEST(d.status == 503);
  at.tick();
  BOOST_TEST(a.status == 200);
  BOOST_TEST(c.status == 200);
  a.leave();
  d.open();
  at.tick();
  BOOST_TEST(d.status == 200);
}

BOOST_AUTO_TEST_CASE(a_token_has_no_more_than_its_share_of_the_streams) {
  http::event_limits most;
  most.of_token = 2;
  event_desk at{most};
  at.engine->set(17, job_state::available);
  const auto ada = std::make_shared<const http::token_identity>(
      http::token_identity{1, "ada", role::viewer, {}});
  const auto bob = std::make_shared<const http::token_identity>(
      http::token_identity{2, "bob", role::viewer, {}});
  event_client a(at, of_jobs({17}));
  event_client b(at, of_jobs({17}));
  event_client c(at, of_jobs({17}));
  event_client d(at, of_jobs({17}));
  a.open(ada, "hash");
  b.open(ada, "hash");
  c.open(ada, "hash");
  d.open(bob, "other");
  at.tick();
  BOOST_TEST(b.status == 200);
  BOOST_TEST(c.status == 429);
  BOOST_TEST(d.status == 200);
  a.leave();
  c.open(ada, "hash");
  at.tick();
  BOOST_TEST(c.status == 200);
}

BOOST_AUTO_TEST_CASE(while_the_database_is_away_a_stream_stays_and_says_so_once) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client jobs(at, of_jobs({17}));
  event_client queues(at, {});
  jobs.open();
  queues.open();
  at.tick();
  jobs.read();
  queues.read();
  at.engine->away = true;
  event_client late(at, of_jobs({18}));
  late.open();
  std::string heard;
  for (int i = 0; i < 8; ++i) {
    at.tick();
    heard += jobs.read() + queues.read();
  }
  BOOST_TEST(heard == ": database unavailable\n\n: database unavailable\n\n");
  BOOST_TEST(late.status == 503);
  at.engine->away = false;
  at.engine->set(17, job_state::running);
  at.tick();
  BOOST_TEST(names_of(jobs.read()) == "job");
}

BOOST_AUTO_TEST_CASE(who_waits_for_a_look_is_told_that_there_is_none_though_others_know_the_job) {
  event_desk at;
  event_client first(at, of_jobs({17}));
  at.engine->set(17, job_state::available);
  first.open();
  at.tick();
  first.read();
  at.engine->jobs.erase(17);
  at.tick(); // which the first one does not read
  at.engine->away = true;
  event_client late(at, of_jobs({17})); // may be there again by now
  late.open();
  BOOST_TEST(late.status == 0);
  at.tick();
  BOOST_TEST(late.status == 503);
  BOOST_TEST(first.connected());
}

BOOST_AUTO_TEST_CASE(a_stream_without_news_says_something_every_fifteen_seconds) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.read();
  std::size_t heard = 0;
  for (int i = 0; i < 4 * 60; ++i) {
    at.tick();
    heard += client.read() == ": still here\n\n" ? 1 : 0;
  }
  BOOST_TEST(heard == 4U);
}

BOOST_AUTO_TEST_CASE(a_node_that_stops_ends_its_streams_with_a_comment) {
  event_desk at;
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open();
  at.tick();
  client.read();
  event_client early(at, of_jobs({18}));
  early.open();
  at.board->close();
  at.work();
  BOOST_TEST(client.read() == ": this node is stopping: ask another one\n\n");
  BOOST_TEST(!client.connected());
  BOOST_TEST(early.status == 503);
  client.open();
  BOOST_TEST(client.status == 503);
}

BOOST_AUTO_TEST_CASE(a_token_that_is_not_live_any_more_ends_its_stream) {
  event_desk at;
  at.engine->set(17, job_state::available);
  const auto who = std::make_shared<const http::token_identity>();
  for (const bool told : {true, false}) {
    at.engine->tokens["hash"] = token_standing::live;
    event_client client(at, of_jobs({17}));
    client.open(who, "hash");
    at.tick();
    BOOST_TEST(names_of(client.read()) == "job");
    at.tick();
    BOOST_TEST(client.read() == "");
    at.engine->tokens["hash"] = token_standing::revoked;
    if (told)
      ++at.turn;
    const auto begun = at.now;
    while (client.connected() && at.now - begun < 10s) {
      at.tick();
      client.read();
    }
    BOOST_TEST((at.now - begun < (told ? 500ms : 3000ms)));
  }
}

BOOST_AUTO_TEST_CASE(a_token_that_cannot_be_looked_up_is_told_nothing) {
  event_desk at;
  at.engine->set(17, job_state::available);
  at.engine->tokens["hash"] = token_standing::live;
  event_client client(at, of_jobs({17}));
  client.open(std::make_shared<const http::token_identity>(), "hash");
  at.tick();
  client.read();
  at.engine->away = true;
  at.tick();
  client.read();
  at.tick(10s);
  at.engine->set(17, job_state::running);
  at.engine->away = false;
  at.patience = 0;
  at.tick(4s); // asks for both
  at.patience = 1;
  at.work();
  BOOST_REQUIRE(at.tasks.size() == 2U);
  std::swap(at.tasks[0], at.tasks[1]); // what is said of the job is there first
  at.work();
  BOOST_TEST(client.read() == "");
  at.patience = 100;
  at.work();
  at.tick();
  BOOST_TEST(names_of(client.read()) == "job"); // the token was live after all
}

BOOST_AUTO_TEST_CASE(a_token_for_some_queues_is_told_of_jobs_that_are_in_them) {
  event_desk at;
  at.engine->tokens["hash"] = token_standing::live;
  http::token_identity mail;
  mail.name = "m";
  mail.queues = {"mail"};
  const auto who = std::make_shared<const http::token_identity>(mail);
  at.engine->set(17, job_state::available);
  event_client client(at, of_jobs({17}));
  client.open(who, "hash");
  at.tick();
  BOOST_TEST(client.status == 403);
  at.engine->job(17).record.queue = "mail";
  client.open(who, "hash");
  at.tick();
  BOOST_TEST(names_of(client.read()) == "job");
  at.engine->job(17).record.queue = "other"; // moved
  at.engine->set(17, job_state::available);
  at.tick();
  BOOST_TEST(client.read() == ": this token is not for the queue that job 17 is in now\n\n");
  BOOST_TEST(!client.connected());
}
