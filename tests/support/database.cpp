#include "tests/support/database.hpp"

#include "db/blocking.hpp"
#include "db/migrate.hpp"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <unistd.h>

namespace troupe::tests {

namespace {

db::startup_session open(const std::string& url) {
  db::connect_options options;
  options.url = url;
  options.application_name = "troupe test";
  options.statement_timeout = options.lock_timeout = std::chrono::milliseconds{60'000};
  return db::startup_session{options};
}

/// One template per set of migrations; whoever comes first makes it, under a lock.
std::string migrated_template() {
  std::string texts;
  for (const auto& step : db::migrations())
    texts += step.text;
  auto name = "troupe_template_" + std::to_string(std::hash<std::string>{}(texts));
  auto session = open(server_url());
  session.exec("select pg_advisory_lock(7411)");
  if (*session.value("select count(*) from pg_database where datname = '" + name + "'") == "0") {
    auto unfinished = name + "_unfinished";
    session.exec("drop database if exists " + unfinished);
    session.exec("create database " + unfinished);
    db::migrate(with_database(server_url(), unfinished));
    session.exec("alter database " + unfinished + " rename to " + name);
  }
  return name;
}

} // namespace

std::string server_url() {
  const char* url = std::getenv("TROUPE_TEST_DATABASE_URL");
  if (!url || !*url)
    throw std::runtime_error("TROUPE_TEST_DATABASE_URL is not set. Run this test with ctest, or "
                             "start a server by hand:\n"
                             "  export TROUPE_TEST_DATABASE_URL=$(scripts/test-database start "
                             "--no-fsync /tmp/troupe-test)");
  return url;
}

std::string with_database(const std::string& url, const std::string& database) {
  auto host = url.find("://");
  auto path = host == std::string::npos ? host : url.find('/', host + 3);
  if (path == std::string::npos)
    throw std::runtime_error("TROUPE_TEST_DATABASE_URL has to look like postgresql://.../database");
  auto query = url.find('?', path);
  return url.substr(0, path + 1) + database + (query == std::string::npos ? "" : url.substr(query));
}

test_database::test_database(content wanted) {
  static std::atomic<int> count{0};
  name_ = "troupe_test_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
  url_ = with_database(server_url(), name_);
  std::string source = wanted == content::migrated ? migrated_template() : "template0";
  auto session = open(server_url());
  session.exec("drop database if exists " + name_);
  // Two copies of one template at once would refuse each other.
  session.exec("select pg_advisory_lock(7411)");
  session.exec("create database " + name_ + " template " + source);
}

test_database::~test_database() {
  try {
    open(server_url()).exec("drop database if exists " + name_ + " with (force)");
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "%s was not dropped: %s\n", name_.c_str(), problem.what());
  }
}

void test_database::exec(const std::string& sql) const {
  open(url_).exec(sql);
}

std::vector<std::vector<std::string>> test_database::query_text(const std::string& sql) const {
  std::vector<std::vector<std::string>> rows;
  for (const auto& row : open(url_).exec(sql)) {
    std::vector<std::string> texts;
    for (const auto& value : row)
      texts.push_back(value.value_or("NULL"));
    rows.push_back(std::move(texts));
  }
  return rows;
}

std::string test_database::value(const std::string& sql) const {
  return open(url_).value(sql).value_or("NULL");
}

} // namespace troupe::tests
