// COPY through sessions on a real server: what arrives is what was sent, in bounded memory, and
// every way it can end leaves a definite answer and no connection behind.
#include "tests/launcher/session_fixture.hpp"

#include <fstream>
#include <sstream>

using namespace troupe;
using namespace troupe::tests;
using namespace std::chrono_literals;
using cause = database_metrics::rollback_cause;

namespace {

constexpr std::size_t mib = std::size_t{1024} * 1024;
constexpr const char* into_note = "copy note (text) from stdin";

/// The most this process has held since forget_peak(), in bytes.
std::size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::size_t kib = 0; word == "VmHWM:" && status >> kib)
      return kib * 1024;
  return 0;
}
void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::string sentence_of(pending<std::int64_t> asked) {
  try {
    return "stored " + std::to_string(std::move(asked).get());
  } catch (const engine_error& e) {
    return std::string{to_string(e.code())} + ": " + e.what();
  }
}

struct copying : session_fixture {
  copying() { database.exec("create table blob (text text)"); }

  static std::string read_all(copy_reader reader) {
    std::string all;
    while (auto rows = reader.next().get())
      all += *rows;
    return all;
  }
  /// A reader that has had its first rows of 100 MB.
  static copy_reader begun(session& work) {
    auto reader = work.copy_out("copy (select repeat('x', 1000) from generate_series(1, 100000)) "
                                "to stdout");
    BOOST_TEST(reader.next().get().has_value());
    return reader;
  }
  void terminate_copies() {
    BOOST_TEST(await_until([&] {
      return database.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                            "datname = current_database() and state = 'active' and query ilike "
                            "'copy%'")
             == "1";
    }));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(copies, copying)

BOOST_AUTO_TEST_CASE(nasty_values_come_back_as_they_went) {
  start();
  auto work = node->open_session();
  // As COPY's text format writes them: tab, newline, backslash, \N as text, empty, NULL.
  const std::string rows = "a\\tb\nline\\nline\n\\\\N\n\n\\N\nback\\\\slash\nna\xc3\xafve "
                           "\xe6\x97\xa5\xe6\x9c\xac\n\\r\\b\\f\\v\n";
  auto writer = work.copy_in(into_note);
  for (const char byte : rows) // cut anywhere
    writer.put(std::string(1, byte)).get();
  BOOST_TEST(writer.finish().get() == 8);
  BOOST_TEST(read_all(work.copy_out("copy (select text from note order by id) to stdout")) == rows);
  const auto found = work.query("select text from note order by id").get();
  BOOST_TEST(found.raw()[0].get<std::string>(0) == "a\tb");
  BOOST_TEST(found.raw()[2].get<std::string>(0) == "\\N");
  BOOST_TEST(found.raw()[3].get<std::string>(0).empty());
  BOOST_TEST(found.raw()[4].is_null(0));
  BOOST_TEST(read_all(work.copy_out("copy (select $1::text, $2) to stdout (format csv)", "it's",
                                    std::int64_t{7}))
             == "it's,7\n");
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "8");
  auto refused = work.copy_in(into_note);
  refused.put(std::string("a\0b\n", 4)).get();
  BOOST_TEST(sentence_of(refused.finish()).find("invalid byte sequence") != std::string::npos);
  work.rollback().get();
}

BOOST_AUTO_TEST_CASE(nothing_goes_in_and_nothing_comes_out) {
  start();
  auto work = node->open_session();
  BOOST_TEST(work.copy_in(into_note).finish().get() == 0);
  auto reader = work.copy_out("copy note to stdout");
  BOOST_TEST(!reader.next().get().has_value());
  BOOST_TEST(!reader.next().get().has_value());
  static_cast<void>(work.commit().get());
}

BOOST_AUTO_TEST_CASE(two_hundred_megabytes_go_each_way_in_bounded_memory) {
  start();
  constexpr std::size_t size = 200 * mib;
  std::string block;
  while (block.size() < mib)
    block += std::string(127, 'x') + "\n";
  auto work = node->open_session();
  forget_peak();
  const auto before = peak_memory();
  auto writer = work.copy_in("copy blob from stdin");
  for (std::size_t sent = 0; sent < size; sent += block.size())
    writer.put(block).get();
  BOOST_TEST(writer.finish().get() == static_cast<std::int64_t>(size / 128));
  std::size_t read = 0, largest = 0;
  auto reader = work.copy_out("copy blob to stdout");
  while (auto rows = reader.next().get()) {
    BOOST_REQUIRE(rows->back() == '\n');
    read += rows->size();
    largest = std::max(largest, rows->size());
  }
  BOOST_TEST(read == size);
  BOOST_TEST(largest <= 64U * 1024U + 128U);
#ifndef __SANITIZE_ADDRESS__ // which keeps what is freed for a while
  const auto grown = peak_memory() - before;
  BOOST_TEST(grown < 16 * mib, "grew by " << grown / mib << " MiB");
#else
  static_cast<void>(before);
#endif
  static_cast<void>(work.commit().get());
}

BOOST_AUTO_TEST_CASE(a_copy_is_part_of_the_transaction_its_savepoints_and_marks) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('before')").ignore();
  auto first = work.copy_in(into_note);
  first.put("kept\n").ignore();
  work.add({.kind = "noop"}); // a mark, while it is open
  BOOST_TEST(first.finish().get() == 1);
  work.savepoint("part").ignore();
  auto second = work.copy_in(into_note);
  second.put("lost\n").ignore();
  second.finish().ignore();
  work.rollback_to("part").get();
  BOOST_TEST(read_all(work.copy_out("copy (select text from note order by id) to stdout"))
             == "before\nkept\n");
  BOOST_TEST(database.value("select count(*) from note") == "0");
  BOOST_TEST(work.commit().get().added.size() == 1U);
  BOOST_TEST(count("note") == "2");
  // And what holds for statements holds again: the COPY had taken their time limit away.
  BOOST_TEST(read_all(work.copy_out("copy (select 1) to stdout")) == "1\n");
  BOOST_TEST(work.query("select current_setting('statement_timeout')").get().one<std::string>()
             == "10s");
}

BOOST_AUTO_TEST_CASE(all_else_is_a_conflict_while_one_is_open) {
  start();
  auto work = node->open_session();
  {
    auto writer = work.copy_in(into_note);
    BOOST_TEST(code_of(work.query("select 1")) == errc::conflict);
    BOOST_TEST(code_of(work.flush()) == errc::conflict);
    BOOST_TEST(code_of(work.savepoint("a")) == errc::conflict);
    BOOST_TEST(code_of(work.commit()) == errc::conflict);
    auto other = work.copy_in(into_note);
    BOOST_TEST(code_of(other.put("x\n")) == errc::conflict);
    BOOST_TEST(code_of(other.finish()) == errc::conflict);
    writer.put("x\n").get();
    BOOST_TEST(writer.finish().get() == 1);
    BOOST_TEST(code_of(writer.put("y\n")) == errc::conflict);
  }
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "1");
  auto reader = begun(work);
  BOOST_TEST(code_of(work.query("select 1")) == errc::conflict);
  work.rollback().get();
}

BOOST_AUTO_TEST_CASE(what_is_not_finished_is_never_committed) {
  start();
  auto work = node->open_session();
  {
    auto writer = work.copy_in(into_note);
    writer.put("x\n").get();
  }
  BOOST_TEST(code_of(work.commit()) == errc::aborted);
  BOOST_TEST(await_lent(0));
  work.rollback().get();
  auto writer = work.copy_in(into_note);
  writer.put("x\n").get();
  work.rollback().get(); // with the writer in hand
  BOOST_TEST(code_of(writer.put("y\n")) == errc::aborted);
  BOOST_TEST(code_of(writer.finish()) == errc::aborted);
  work.savepoint("part").get();
  auto cancelled = work.copy_in(into_note);
  cancelled.put("x\n").ignore();
  cancelled.cancel().get();
  work.query("insert into note (text) values ('y')").get(); // only the savepoint was undone
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "1");
}

BOOST_AUTO_TEST_CASE(a_session_and_its_writer_that_are_forgotten_leave_nothing) {
  start();
  {
    auto work = node->open_session();
    auto writer = work.copy_in(into_note);
    writer.put("x\n").get();
    BOOST_TEST(node->database().lent == 1U);
  }
  BOOST_TEST(await_lent(0));
  {
    auto work = node->open_session();
    auto reader = begun(work);
  }
  BOOST_TEST(await_lent(0));
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(a_reader_that_goes_early_leaves_the_transaction_open) {
  start();
  auto work = node->open_session();
  work.query("insert into note (text) values ('x')").ignore();
  { auto reader = begun(work); }
  BOOST_TEST(work.query("select count(*) from note").get().one<std::int64_t>() == 1);
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "1");
}

BOOST_AUTO_TEST_CASE(a_rest_that_takes_too_long_to_drop_costs_the_transaction) {
  start();
  auto work = node->open_session();
  {
    auto reader = work.copy_out("copy (select pg_sleep(0.01), repeat('x', 65536) from "
                                "generate_series(1, 100000)) to stdout");
    BOOST_TEST(reader.next().get().has_value());
  }
  BOOST_TEST(code_of(work.query("select 1")) == errc::aborted);
  BOOST_TEST(await_lent(0));
  work.rollback().get();
  BOOST_TEST(work.query("select 1").get().one<std::int32_t>() == 1);
}

BOOST_AUTO_TEST_CASE(a_row_that_cannot_be_stored_is_told_with_its_line) {
  start();
  auto work = node->open_session();
  auto writer = work.copy_in("copy account from stdin");
  for (const auto* row : {"7\t1\n", "8\t1\n", "2\t1\n", "9\t1\n"}) // 2 is there
    writer.put(row).get();
  const auto told = sentence_of(writer.finish());
  BOOST_TEST(told.find("conflict: ") == 0U, told);
  BOOST_TEST(told.find("duplicate key value violates unique constraint \"account_pkey\"")
                 != std::string::npos,
             told);
  BOOST_TEST(told.find("COPY account, line 3") != std::string::npos, told);
  BOOST_TEST(code_of(work.commit()) == errc::aborted);
  work.rollback().get();
  BOOST_TEST(count("account") == "2");
  auto reader = work.copy_out("copy (select 10 / (3 - n) from generate_series(1, 5) n) to stdout");
  errc code = errc::none;
  try {
    while (reader.next().get()) {
    }
  } catch (const engine_error& e) {
    code = e.code();
    BOOST_TEST(std::string{e.what()}.find("division by zero") != std::string::npos, e.what());
  }
  BOOST_TEST(code == errc::invalid_argument);
}

BOOST_AUTO_TEST_CASE(what_is_no_copy_or_goes_the_other_way_is_refused) {
  start();
  const auto refused = [&](auto ask) {
    auto work = node->open_session();
    BOOST_TEST(code_of(ask(work)) == errc::invalid_argument);
    work.rollback().get();
    BOOST_TEST(work.query("select 1").get().one<std::int32_t>() == 1);
  };
  refused([](session& work) { return work.copy_out("select 1").next(); });
  refused([](session& work) { return work.copy_in("select 1").finish(); });
  refused([](session& work) { return work.copy_out(into_note).next(); });
  refused([](session& work) { return work.copy_in("copy note to stdout").finish(); });
  refused([](session& work) { return work.copy_in("commit").finish(); });
  BOOST_TEST(await_lent(0));
}

BOOST_AUTO_TEST_CASE(who_does_not_ask_is_ended_by_the_idle_timeout) {
  start();
  session_options quick;
  quick.idle_timeout = 3s;
  auto work = node->open_session(quick);
  auto reader = begun(work);
  const auto waits = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite' and "
                     "datname = current_database()";
  BOOST_TEST(await_until([&] { // the server waits, or we have been too late to see it
    return database.value(waits) == "1" || rollbacks(cause::timed_out) == 1U;
  }));
  BOOST_TEST(await_lent(0));
  BOOST_TEST(rollbacks(cause::timed_out) == 1U);
  BOOST_TEST(code_of(reader.next()) == errc::aborted);
  work.rollback().get();
  auto writer = work.copy_in(into_note);
  writer.put("x\n").get();
  BOOST_TEST(await_lent(0));
  BOOST_TEST(code_of(writer.finish()) == errc::aborted);
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(more_than_may_wait_cancels_the_copy) {
  start();
  // So that the server takes less than we put, however slowly that is.
  database.exec("create function dawdle() returns trigger language plpgsql as "
                "$$ begin perform pg_sleep(0.3); return new; end $$");
  database.exec("create trigger dawdle before insert on blob for each row execute function "
                "dawdle()");
  auto work = node->open_session();
  auto writer = work.copy_in("copy blob from stdin");
  for (int i = 0; i < 40; ++i)
    writer.put(std::string(mib - 1, 'x') + "\n").ignore();
  BOOST_TEST(code_of(writer.finish()) == errc::aborted);
  BOOST_TEST(work.first_failure() == errc::overloaded);
  BOOST_TEST(code_of(work.commit()) == errc::aborted);
  BOOST_TEST(count("blob") == "0");
}

BOOST_AUTO_TEST_CASE(a_backend_that_is_terminated_in_the_middle_is_a_definite_answer) {
  start();
  auto work = node->open_session();
  auto writer = work.copy_in(into_note);
  writer.put("x\n").get();
  terminate_copies();
  const auto told = code_of(writer.finish());
  BOOST_TEST(told == errc::unavailable);
  BOOST_TEST(code_of(work.commit()) == errc::aborted);
  work.rollback().get();
  auto reader = begun(work);
  terminate_copies();
  errc ended = errc::none;
  try {
    while (reader.next().get()) {
    }
  } catch (const engine_error& e) {
    ended = e.code();
  }
  BOOST_TEST(ended == errc::unavailable);
  BOOST_TEST(await_lent(0));
  work.rollback().get();
  BOOST_TEST(work.query("select 1").get().one<std::int32_t>() == 1);
  static_cast<void>(work.commit().get());
  BOOST_TEST(count("note") == "0");
}

BOOST_AUTO_TEST_CASE(two_sessions_copy_at_once) {
  start();
  auto from = node->open_session();
  auto to = node->open_session();
  auto reader = from.copy_out("copy (select n from generate_series(1, 200000) n) to stdout");
  auto writer = to.copy_in("copy blob from stdin");
  while (auto rows = reader.next().get())
    writer.put(*std::move(rows)).get();
  BOOST_TEST(writer.finish().get() == 200'000);
  static_cast<void>(to.commit().get());
  static_cast<void>(from.commit().get());
  BOOST_TEST(database.value("select sum(text::bigint) from blob") == "20000100000");
}

BOOST_AUTO_TEST_CASE(a_handler_copies_and_its_run_commits_it) {
  start([](engine& made) {
    made.handle("fill", [](const job_run& run) {
      auto writer = session_of(run).copy_in(into_note);
      writer.put("x\ny\n").get();
      if (run.args == "{}")
        static_cast<void>(writer.finish().get());
      return completed(); // with any other args the writer is forgotten
    });
  });
  const auto good = node->enqueue({.kind = "fill", .args = "{}"});
  BOOST_TEST(node->wait(good, 60s).state == job_state::completed);
  const auto bad = node->enqueue({.kind = "fill", .args = R"({"bad":1})", .max_attempts = 1});
  BOOST_TEST(node->wait(bad, 60s).state == job_state::discarded);
  BOOST_TEST(count("note") == "2");
}

BOOST_AUTO_TEST_CASE(an_engine_that_stops_ends_what_is_open) {
  start();
  auto work = node->open_session();
  auto writer = work.copy_in(into_note);
  writer.put("x\n").get();
  auto other = node->open_session();
  auto reader = begun(other);
  BOOST_TEST(node->stop());
  BOOST_TEST(code_of(writer.finish()) == errc::stopping);
  BOOST_TEST(code_of(reader.next()) == errc::stopping);
  BOOST_TEST(count("note") == "0");
  node.reset();
}

BOOST_AUTO_TEST_SUITE_END()
