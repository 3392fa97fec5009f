// An engine on a database of its own, with tables to work in. At its end no connection may be lent.
#pragma once

#include "launcher/engine.hpp"
#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/printing.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>

namespace troupe::tests {

using namespace std::chrono_literals; // NOLINT(google-build-using-namespace)

struct session_fixture {
  test_database database;
  temp_dir folder;
  std::optional<engine> node;

  session_fixture() {
    database.exec("create table account (id bigint primary key, amount bigint not null)");
    database.exec("create table note (id bigint generated always as identity, text text)");
    database.exec("insert into account values (1, 100), (2, 100)");
  }
  session_fixture(const session_fixture&) = delete;
  session_fixture& operator=(const session_fixture&) = delete;
  ~session_fixture() {
    if (!node)
      return;
    BOOST_CHECK_MESSAGE(await_until([&] { return node->database().lent == 0U; }),
                        "a connection is still lent");
    BOOST_TEST(node->stop());
  }

  engine_options options() const {
    engine_options out;
    out.database_url = database.url();
    out.data_dir = folder.path().string();
    out.test_kinds = true;
    out.grace = patience;
    out.database.max_connections = 6;
    out.database.acquire_timeout = patience;
    return out;
  }
  /// Call once; the engine's handlers are added by `prepare`.
  template<class Prepare>
  void start(Prepare prepare) {
    node.emplace(options());
    prepare(*node);
    node->start();
  }
  void start() {
    start([](engine&) {});
  }
  std::string count(const std::string& table) const {
    return database.value("select count(*) from " + table);
  }
  bool await_lent(std::uint64_t wanted) const {
    return await_until([&] { return node->database().lent == wanted; });
  }
  std::uint64_t rollbacks(database_metrics::rollback_cause why) const {
    return node->database().rollbacks[static_cast<std::size_t>(why)];
  }
};

/// The code that a call ends with.
template<class Call>
errc code_of(Call call) {
  try {
    call();
    return errc::none;
  } catch (const engine_error& e) {
    return e.code();
  }
}
template<class T>
errc code_of(pending<T> asked) {
  return code_of([&] { static_cast<void>(std::move(asked).get()); });
}

} // namespace troupe::tests
