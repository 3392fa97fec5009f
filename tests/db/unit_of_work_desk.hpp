// A model of PostgreSQL's transactions, and a desk at which a unit of work is asked: what it sends
// is carried out by the model, group by group or statement by statement.
#pragma once

#include "db/unit_of_work.hpp"
#include "db/wire.hpp"
#include "tests/support/printing.hpp"

#include <boost/test/unit_test.hpp>
#include <libpq-fe.h>

#include <deque>
#include <map>
#include <sstream>

namespace troupe::tests {

using namespace troupe::db; // NOLINT(google-build-using-namespace)

inline const statement good{"good", "select 1"};
inline const statement bad{"bad", "select 1/0"};

inline result row_of(const statement& what, unsigned type, const std::string& bytes) {
  auto* raw = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "value";
  PGresAttDesc column{name.data(), 0, 0, 1, type, -1, -1};
  PQsetResultAttrs(raw, 1, &column);
  std::string copy = bytes;
  PQsetvalue(raw, 0, 0, copy.data(), static_cast<int>(copy.size()));
  return {raw, not_owned(what)};
}

inline std::string int8_array(const std::vector<std::int64_t>& values) {
  std::string bytes;
  for (const std::int32_t word :
       {1, 0, static_cast<int>(oid::int8), static_cast<int>(values.size()), 1})
    wire::append_int(bytes, word);
  for (const auto value : values) {
    wire::append_int<std::int32_t>(bytes, 8);
    wire::append_int(bytes, value);
  }
  return bytes;
}

/// What a connection does with statements: a transaction, its savepoints, and the set of stored
/// jobs. In a group, an error skips what is left of it, as between two syncs of the protocol.
struct server {
  bool grouped = true;
  bool open = false;
  bool failed = false;
  std::vector<std::vector<std::int64_t>> levels; ///< stored jobs, one level per savepoint
  std::vector<std::int64_t> committed;
  std::int64_t last_id = 0;
  std::vector<std::string> seen;

  struct answer {
    std::variant<result, failure> outcome;
    std::string tag;
  };
  answer error(const std::string& state) {
    failed = open;
    return {failure{errc::database, state}, ""};
  }
  answer carry_out(const query& what) {
    const std::string name = what.what().name;
    seen.push_back(name);
    if (name == "transaction_rollback" || (failed && name == "transaction_commit")) {
      open = failed = false;
      levels.clear();
      return {result{}, "ROLLBACK"};
    }
    if (name == "savepoint_rollback") {
      BOOST_REQUIRE_MESSAGE(levels.size() >= 2, "a rollback to a savepoint that is not there");
      failed = false;
      levels.back().clear();
      return {result{}, "ROLLBACK"};
    }
    if (failed)
      return error("25P02");
    if (name.starts_with("transaction_begin")) {
      BOOST_REQUIRE_MESSAGE(!open, "a begin inside a transaction");
      open = true;
      levels.assign(1, {});
      return {result{}, "BEGIN"};
    }
    BOOST_REQUIRE_MESSAGE(open, name << " outside of a transaction");
    if (name == "savepoint_set") {
      levels.emplace_back();
    } else if (name == "savepoint_release") {
      if (levels.size() < 2)
        return error("3B001");
      auto inner = std::move(levels.back());
      levels.pop_back();
      levels.back().insert(levels.back().end(), inner.begin(), inner.end());
    } else if (name == "transaction_commit") {
      for (const auto& level : levels)
        committed.insert(committed.end(), level.begin(), level.end());
      levels.clear();
      open = false;
      return {result{}, "COMMIT"};
    } else if (name == "job_enqueue") {
      const auto count = wire::get_int<std::int32_t>(what.parameters().values[0] + 12);
      std::vector<std::int64_t> ids;
      for (int i = 0; i < count; ++i)
        ids.push_back(++last_id);
      levels.back().insert(levels.back().end(), ids.begin(), ids.end());
      return {row_of(what.what(), 1016, int8_array(ids)), "SELECT 1"};
    } else if (name == "bad") {
      return error("22012");
    } else if (name == "transaction_id") {
      return {row_of(what.what(), oid::text, "777"), "SELECT 1"};
    }
    return {result{}, "SELECT 1"};
  }
};

struct desk {
  unit_of_work work;
  server there;
  std::deque<query> wire;
  std::map<std::uint64_t, unit_of_work::settled> answers;
  std::uint64_t known = 0; ///< failures our caller has heard of

  void collect() {
    while (auto one = work.next()) {
      known = std::max(known, one->failures);
      answers.emplace(one->call, *one);
    }
  }
  std::uint64_t ask(work_request request) {
    if (!work.may_plan(request))
      run();
    auto planned = work.plan(std::move(request), known);
    wire.insert(wire.end(), planned.statements.begin(), planned.statements.end());
    return planned.call;
  }
  /// Carries out what is on the wire as one group, then the way back if there is one.
  void run() {
    do {
      std::optional<failure> skipping;
      for (auto& what : wire) {
        if (skipping && there.grouped) {
          work.take(*skipping);
          continue;
        }
        auto answer = there.carry_out(what);
        if (auto* why = std::get_if<failure>(&answer.outcome)) {
          skipping = failure{errc::aborted, "skipped"};
          work.take(*why);
        } else {
          work.take(std::get<result>(answer.outcome), answer.tag);
        }
      }
      wire.clear();
      collect();
      for (auto& what : work.recovery())
        wire.push_back(what);
    } while (!wire.empty());
    if (!work.holds_connection() && there.open) { // the connection goes back, and is cleaned
      there.open = there.failed = false;
      there.levels.clear();
    }
  }
  /// One call, awaited.
  std::variant<failure, work_reply> now(work_request request) {
    const auto call = ask(std::move(request));
    run();
    return answers.at(call).outcome;
  }
  errc code_of(std::uint64_t call) {
    const auto found = answers.find(call);
    BOOST_REQUIRE_MESSAGE(found != answers.end(), "call " << call << " has no answer");
    const auto* why = std::get_if<failure>(&found->second.outcome);
    return why ? why->code : errc::none;
  }
  errc code(work_request request) {
    const auto call = ask(std::move(request));
    run();
    return code_of(call);
  }
  void add(const std::string& kind = "k") { work.add({.kind = kind}, known); }
  std::string sent() {
    std::ostringstream out;
    for (const auto& name : std::exchange(there.seen, {}))
      out << (out.tellp() > 0 ? " " : "") << name;
    return out.str();
  }
};

} // namespace troupe::tests
