#include "db/admin.hpp"

#include "db/blocking.hpp"

#include <libpq-fe.h>

namespace troupe::db {

namespace {

connect_options at(const std::string& conninfo) {
  connect_options options;
  options.url = conninfo;
  return options;
}

connect_options admin_options(connect_options options, std::chrono::seconds timeout) {
  options.application_name = "troupe admin";
  options.connect_timeout = timeout;
  return options;
}

} // namespace

std::optional<std::string> ping(const std::string& conninfo, std::chrono::seconds timeout) {
  return ping(at(conninfo), timeout);
}

std::optional<std::string> ping(const connect_options& where, std::chrono::seconds timeout) {
  try {
    auto options = admin_options(where, timeout);
    options.statement_timeout = timeout;
    startup_session{options}.exec("select 1");
    return std::nullopt;
  } catch (const db_error& problem) {
    return problem.what();
  }
}

void exec_script(const std::string& conninfo, const std::string& sql,
                 std::chrono::seconds timeout) {
  auto options = admin_options(at(conninfo), timeout);
  options.statement_timeout = options.lock_timeout = std::chrono::milliseconds{0};
  startup_session{options}.exec(sql);
}

std::string client_version() {
  const int number = PQlibVersion();
  return std::to_string(number / 10'000) + "." + std::to_string(number % 10'000);
}

} // namespace troupe::db
