// The pipeline's bookkeeping against a simple model of a server, with random events, and its
// answers to events that do not fit.
#include "db/pipeline.hpp"
#include "db/query.hpp"
#include "db/wire.hpp"

#include <boost/test/unit_test.hpp>
#include <libpq-fe.h>

#include <array>
#include <map>
#include <random>
#include <set>

using troupe::errc;
using namespace troupe::db;

namespace {

const statement alpha{"alpha", ""};
const statement beta{"beta", ""};
const statement gamma_{"gamma", ""};

/// A result with one row that holds `value`.
result rows_with(const statement& what, std::int64_t value) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc column{name.data(), 0, 0, 1, oid::int8, 8, -1};
  PQsetResultAttrs(raw, 1, &column);
  std::string bytes;
  wire::append_int(bytes, value);
  PQsetvalue(raw, 0, 0, bytes.data(), static_cast<int>(bytes.size()));
  return {raw, what};
}

db_failure failure_with(const std::string& message, errc code = errc::database) {
  db_failure made;
  made.code = code;
  made.message = message;
  return made;
}

std::string told(const finished& answer) {
  if (const auto* why = std::get_if<db_failure>(&answer.outcome))
    return why->code == errc::outcome_unknown ? "unknown" : why->message;
  return std::to_string(std::get<result>(answer.outcome).one().get<std::int64_t>(0));
}

/// Plays PostgreSQL behind libpq: takes orders in, gives events out in the order of the wire, and
/// knows what each token has to be answered with.
class model {
public:
  explicit model(unsigned seed) : random_(seed) {}

  void order(const statement& what, const pipeline::order& given) {
    written_.push_back({&what, given, step::first});
    if (given.prepare)
      BOOST_REQUIRE_MESSAGE(parsed_ever_.insert(given.name).second,
                            given.name << " is parsed a second time");
    else
      BOOST_REQUIRE_MESSAGE(parsed_ever_.contains(given.name), given.name << " was never parsed");
  }

  bool idle() const { return written_.empty(); }
  bool happens(int percent) { return std::uniform_int_distribution{1, 100}(random_) <= percent; }
  int number(int limit) { return std::uniform_int_distribution{0, limit - 1}(random_); }

  /// The next event of the wire, told to `pipe`.
  void event(pipeline& pipe) {
    auto& front = written_.front();
    BOOST_REQUIRE(pipe.current() == front.what);
    switch (front.at) {
    case step::first:
      if (front.given.prepare)
        return parse(pipe, front);
      [[fallthrough]];
    case step::execute:
      return execute(pipe, front);
    case step::aborted:
      front.at = step::sync;
      BOOST_REQUIRE(pipe.on_aborted());
      return;
    case step::sync:
      if (!front.failed && happens(5)) {
        front.failed = true;
        fail(pipe, front, false);
        return;
      }
      expected[front.given.token] = front.answer;
      written_.pop_front();
      BOOST_REQUIRE(pipe.on_sync());
      return;
    }
  }

  /// A pooler's or operator's DISCARD ALL.
  void discard() { known_.clear(); }

  void lose(pipeline& pipe) {
    for (const auto& each : written_)
      expected[each.given.token] = each.failed ? each.answer : "unknown";
    written_.clear();
    known_.clear();
    failed_parses_.clear();
    parsed_ever_.clear(); // another connection
    pipe.on_lost(failure_with("gone"));
  }

  std::map<std::uint64_t, std::string> expected;

private:
  enum class step { first, execute, aborted, sync };
  struct exchange {
    const statement* what;
    pipeline::order given;
    step at;
    bool failed = false;
    std::string answer = {};
  };

  void fail(pipeline& pipe, exchange& front, bool forget) {
    front.failed = true;
    auto message = "error " + std::to_string(++count_);
    front.answer = message;
    BOOST_REQUIRE(pipe.on_error(failure_with(message), forget));
  }

  void parse(pipeline& pipe, exchange& front) {
    if (happens(20)) {
      front.at = step::aborted;
      fail(pipe, front, false);
      failed_parses_[front.given.name] = front.answer;
      return;
    }
    known_.insert(front.given.name);
    front.at = step::execute;
    BOOST_REQUIRE(pipe.on_result({}));
  }

  void execute(pipeline& pipe, exchange& front) {
    front.at = step::sync;
    if (!known_.contains(front.given.name)) {
      fail(pipe, front, true);
      if (auto cause = failed_parses_.find(front.given.name); cause != failed_parses_.end())
        front.answer = cause->second;
      return;
    }
    if (happens(20))
      return fail(pipe, front, false);
    auto value = ++count_;
    front.answer = std::to_string(value);
    BOOST_REQUIRE(pipe.on_result(rows_with(*front.what, value)));
  }

  std::mt19937 random_;
  std::int64_t count_ = 0;
  std::deque<exchange> written_;
  std::set<std::string> known_;       ///< prepared names the server has
  std::set<std::string> parsed_ever_; ///< on this connection
  std::map<std::string, std::string> failed_parses_;
};

/// Actions at random; afterwards every token has exactly the answer the model foresaw.
void run_random(unsigned seed) {
  constexpr std::size_t bound = 12;
  constexpr std::array statements{&alpha, &beta, &gamma_};
  model server{seed};
  pipeline pipe{bound};
  std::map<std::uint64_t, std::string> got;
  std::set<std::uint64_t> tokens;
  auto collect = [&] {
    while (auto answer = pipe.next())
      BOOST_REQUIRE_MESSAGE(got.emplace(answer->token, told(*answer)).second,
                            "token " << answer->token << " is answered twice");
  };
  for (int action = 0; action < 400; ++action) {
    if (server.happens(45)) {
      BOOST_REQUIRE(pipe.full() == (pipe.in_flight() == bound));
      if (pipe.full()) {
        auto token = pipe.refuse(failure_with("refused"));
        BOOST_REQUIRE(tokens.insert(token).second);
        server.expected[token] = "refused";
      } else {
        const auto& what = *statements[static_cast<std::size_t>(server.number(3))];
        auto order = pipe.enter(what);
        BOOST_REQUIRE(tokens.insert(order.token).second);
        server.order(what, order);
      }
    } else if (!server.idle()) {
      server.event(pipe);
    }
    if (server.happens(1))
      server.discard();
    if (server.happens(1))
      server.lose(pipe);
    if (server.happens(30))
      collect();
  }
  while (!server.idle())
    server.event(pipe);
  collect();
  BOOST_REQUIRE(pipe.in_flight() == 0U);
  BOOST_REQUIRE(got.size() == tokens.size());
  BOOST_REQUIRE(got == server.expected);
}

} // namespace

BOOST_AUTO_TEST_CASE(every_token_gets_the_answer_a_simple_model_foresees) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      run_random(seed);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_statement_is_parsed_on_first_use_only) {
  pipeline pipe;
  auto first = pipe.enter(alpha);
  auto second = pipe.enter(alpha);
  BOOST_TEST(first.prepare);
  BOOST_TEST(!second.prepare);
  BOOST_TEST(first.name == "alpha");
  BOOST_TEST(second.name == "alpha");
  BOOST_TEST(pipe.enter(beta).prepare);
}

BOOST_AUTO_TEST_CASE(rows_are_answered_at_the_sync_and_not_before) {
  pipeline pipe;
  auto order = pipe.enter(alpha);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(rows_with(alpha, 7)));
  BOOST_TEST(!pipe.next().has_value());
  BOOST_TEST(pipe.on_sync());
  auto answer = pipe.next();
  BOOST_REQUIRE(answer.has_value());
  BOOST_TEST(answer->token == order.token);
  BOOST_TEST(told(*answer) == "7");
}

BOOST_AUTO_TEST_CASE(a_commit_that_fails_after_the_rows_came_is_a_failure) {
  pipeline pipe;
  pipe.enter(alpha);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(rows_with(alpha, 7)));
  BOOST_TEST(pipe.on_error(failure_with("deferred constraint")));
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(told(*pipe.next()) == "deferred constraint");
}

BOOST_AUTO_TEST_CASE(statements_that_relied_on_a_failed_parse_are_told_its_error) {
  pipeline pipe;
  pipe.enter(alpha);
  pipe.enter(alpha);
  BOOST_TEST(pipe.on_error(failure_with("no such table")));
  BOOST_TEST(pipe.on_aborted());
  BOOST_TEST(pipe.on_sync());
  // A new one is parsed under another name while the second is still on its way.
  auto third = pipe.enter(alpha);
  BOOST_TEST(third.prepare);
  BOOST_TEST(third.name == "alpha.2");
  BOOST_TEST(pipe.on_error(failure_with("no such prepared statement", errc::retry), true));
  BOOST_TEST(pipe.on_sync());
  BOOST_TEST(told(*pipe.next()) == "no such table");
  BOOST_TEST(told(*pipe.next()) == "no such table");
  BOOST_TEST(!pipe.enter(alpha).prepare);
}

BOOST_AUTO_TEST_CASE(a_loss_leaves_errors_standing_and_makes_all_else_unknown) {
  pipeline pipe;
  pipe.enter(alpha);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_error(failure_with("refused by the server")));
  pipe.enter(alpha);
  pipe.enter(beta);
  pipe.on_lost(failure_with("gone"));
  BOOST_TEST(told(*pipe.next()) == "refused by the server");
  BOOST_TEST(told(*pipe.next()) == "unknown");
  BOOST_TEST(told(*pipe.next()) == "unknown");
  BOOST_TEST(!pipe.next().has_value());
}

BOOST_AUTO_TEST_CASE(rows_without_their_sync_are_unknown_after_a_loss) {
  pipeline pipe;
  pipe.enter(alpha);
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(pipe.on_result(rows_with(alpha, 7)));
  pipe.on_lost(failure_with("gone"));
  BOOST_TEST(told(*pipe.next()) == "unknown");
}

BOOST_AUTO_TEST_CASE(events_that_do_not_fit_are_refused) {
  pipeline pipe;
  BOOST_TEST(!pipe.on_result({}));
  BOOST_TEST(!pipe.on_error(failure_with("x")));
  BOOST_TEST(!pipe.on_aborted());
  BOOST_TEST(!pipe.on_sync());
  pipe.enter(alpha);
  BOOST_TEST(!pipe.on_sync());
  BOOST_TEST(!pipe.on_aborted());
  BOOST_TEST(pipe.on_result({}));
  BOOST_TEST(!pipe.on_sync());
  BOOST_TEST(pipe.on_result(rows_with(alpha, 1)));
  BOOST_TEST(!pipe.on_result(rows_with(alpha, 2)));
  BOOST_TEST(!pipe.on_aborted());
  BOOST_TEST(pipe.on_error(failure_with("x")));
  BOOST_TEST(!pipe.on_error(failure_with("y")));
}

BOOST_AUTO_TEST_CASE(the_bound_is_met_exactly) {
  pipeline pipe{2};
  pipe.enter(alpha);
  BOOST_TEST(!pipe.full());
  pipe.enter(alpha);
  BOOST_TEST(pipe.full());
  BOOST_TEST(pipe.in_flight() == 2U);
}
