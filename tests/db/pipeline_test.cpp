// The pipeline's bookkeeping against a simple model of a server, with random events, and its
// answers to events that do not fit.
#include "tests/db/pipeline_events.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <map>
#include <random>
#include <set>

using troupe::errc;
using namespace troupe::db;
using namespace troupe::tests;

namespace {

/// Plays PostgreSQL behind libpq: takes orders in, gives events out in the order of the wire, and
/// knows what each token has to be answered with.
class model {
public:
  explicit model(unsigned seed) : random_(seed) {}

  void order(const statement& what, const pipeline::order& given, bool closes, bool companion) {
    written_.push_back({&what, given, closes, companion, step::first});
    if (given.prepare)
      BOOST_REQUIRE_MESSAGE(parsed_ever_.insert(given.name).second,
                            given.name << " is parsed a second time");
    else
      BOOST_REQUIRE_MESSAGE(parsed_ever_.contains(given.name), given.name << " was never parsed");
  }
  void close() {
    if (!written_.empty())
      written_.back().closes = true;
  }

  /// Nothing can happen before something more is written.
  bool idle() const { return at_ == written_.size() && !sync_due(); }
  bool empty() const { return written_.empty(); }
  bool happens(int percent) { return std::uniform_int_distribution{1, 100}(random_) <= percent; }
  int number(int limit) { return std::uniform_int_distribution{0, limit - 1}(random_); }

  /// The next event of the wire, told to `pipe`.
  void event(pipeline& pipe) {
    if (sync_due())
      return sync(pipe);
    auto& front = written_[at_];
    BOOST_REQUIRE(pipe.current() == front.what);
    if (front.at == step::first && front.given.prepare) {
      front.at = step::execute;
      return failed_ ? skip(pipe) : parse(pipe, front);
    }
    execute(pipe, front);
    ++at_;
  }

  /// A pooler's or operator's DISCARD ALL.
  void discard() { known_.clear(); }

  void lose(pipeline& pipe) {
    bool failed = failed_;
    for (const auto& each : written_) {
      expect(each, failed ? each.answer : "unknown");
      failed = failed && !each.closes;
    }
    written_.clear();
    known_.clear();
    failed_parses_.clear();
    parsed_ever_.clear(); // another connection
    at_ = 0;
    failed_ = false;
    pipe.on_lost(failure_with("gone"));
  }

  std::map<std::uint64_t, std::string> expected;

private:
  enum class step { first, execute };
  struct exchange {
    const statement* what;
    pipeline::order given;
    bool closes;
    bool companion;
    step at;
    std::string answer = "aborted"; ///< once the group has failed
  };

  bool sync_due() const { return at_ > 0 && written_[at_ - 1].closes; }

  void expect(const exchange& which, const std::string& answer) {
    if (!which.companion)
      expected[which.given.token] = answer;
  }

  void sync(pipeline& pipe) {
    if (!failed_ && happens(5)) {
      auto last = at_;
      while (last > 0 && written_[last - 1].companion)
        --last;
      if (last > 0)
        return fail(pipe, written_[last - 1], false);
    }
    for (; at_ > 0; --at_) {
      expect(written_.front(),
             failed_ ? written_.front().answer : values_[written_.front().given.token]);
      written_.pop_front();
    }
    failed_ = false;
    BOOST_REQUIRE(pipe.on_sync());
  }

  void skip(pipeline& pipe) { BOOST_REQUIRE(pipe.on_aborted()); }

  void fail(pipeline& pipe, exchange& front, bool forget) {
    failed_ = true;
    front.answer = "error " + std::to_string(++count_);
    BOOST_REQUIRE(pipe.on_error(failure_with(front.answer), forget));
  }

  void parse(pipeline& pipe, exchange& front) {
    if (happens(20)) {
      fail(pipe, front, false);
      failed_parses_[front.given.name] = front.answer;
      return;
    }
    known_.insert(front.given.name);
    BOOST_REQUIRE(pipe.on_result({}));
  }

  void execute(pipeline& pipe, exchange& front) {
    if (failed_)
      return skip(pipe);
    if (!known_.contains(front.given.name)) {
      fail(pipe, front, true);
      if (auto cause = failed_parses_.find(front.given.name); cause != failed_parses_.end())
        front.answer = cause->second;
      return;
    }
    if (happens(20))
      return fail(pipe, front, false);
    auto value = ++count_;
    values_[front.given.token] = std::to_string(value);
    BOOST_REQUIRE(pipe.on_result(rows_with(*front.what, value)));
  }

  std::mt19937 random_;
  std::int64_t count_ = 0;
  std::deque<exchange> written_;
  std::size_t at_ = 0;  ///< the first in written_ that is not carried out
  bool failed_ = false; ///< of the first group
  std::map<std::uint64_t, std::string> values_;
  std::set<std::string> known_;       ///< prepared names the server has
  std::set<std::string> parsed_ever_; ///< on this connection
  std::map<std::string, std::string> failed_parses_;
};

/// Actions at random; afterwards every token has exactly the answer the model foresaw.
class run {
public:
  explicit run(unsigned seed) : server_(seed) {
    for (int action = 0; action < 400; ++action) {
      if (server_.happens(45))
        submit();
      else if (!server_.idle())
        server_.event(pipe_);
      if (server_.happens(3))
        close();
      if (server_.happens(1))
        server_.discard();
      if (server_.happens(1))
        server_.lose(pipe_);
      if (server_.happens(30))
        collect();
    }
    close();
    while (!server_.idle())
      server_.event(pipe_);
    collect();
    BOOST_REQUIRE(server_.empty());
    BOOST_REQUIRE(pipe_.in_flight() == 0U);
    BOOST_REQUIRE(!pipe_.group_open());
    BOOST_REQUIRE(got_ == server_.expected);
  }

private:
  static constexpr std::size_t bound = 12;
  static constexpr std::array statements{&alpha, &beta, &gamma_};

  void submit() {
    auto after = server_.happens(60) ? sync_point::now : sync_point::later;
    if (pipe_.full() || pipe_.refusing() != nullptr) {
      const auto* earlier = pipe_.refusing();
      auto token = pipe_.refuse(earlier ? *earlier : failure_with("refused"), after);
      server_.expected[token] = earlier ? "aborted" : "refused";
      if (after == sync_point::now)
        close();
      BOOST_REQUIRE((pipe_.refusing() != nullptr) == (after == sync_point::later));
      return;
    }
    const auto& what = *statements[static_cast<std::size_t>(server_.number(3))];
    const bool companion = server_.happens(10);
    auto order = pipe_.enter({.what = not_owned(what), .after = after, .companion = companion});
    server_.order(what, order, after == sync_point::now, companion);
    BOOST_REQUIRE(pipe_.group_open() == (after == sync_point::later));
    BOOST_REQUIRE(pipe_.full() == (pipe_.in_flight() >= bound));
  }

  void close() {
    pipe_.close_group();
    server_.close();
  }

  void collect() {
    while (auto answer = pipe_.next())
      BOOST_REQUIRE_MESSAGE(got_.emplace(answer->token, told(*answer)).second,
                            "token " << answer->token << " is answered twice");
  }

  model server_;
  pipeline pipe_{bound};
  std::map<std::uint64_t, std::string> got_;
};

} // namespace

BOOST_AUTO_TEST_CASE(every_token_gets_the_answer_a_simple_model_foresees) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      run{seed};
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
