#include "launcher/database_options.hpp"

#include "db/conninfo.hpp"
#include "messages/engine_error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace troupe {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

/// Gathers what is wrong, each with its key.
class complaints {
public:
  void add(const char* key, const std::string& why) {
    text_ += (text_.empty() ? "" : "; ") + std::string{key} + ": " + why;
  }
  void number(const char* key, int value, int least, int most, const char* why = "") {
    if (value < least || value > most)
      add(key, std::to_string(value) + " is not in " + std::to_string(least) + " to "
                   + std::to_string(most) + why);
  }
  void time(const char* key, milliseconds value, milliseconds least, milliseconds most) {
    if (value < least || value > most)
      add(key, std::to_string(value.count()) + " ms is not in " + std::to_string(least.count())
                   + " to " + std::to_string(most.count()) + " ms");
  }
  const std::string& text() const { return text_; }

private:
  std::string text_;
};

void check_way(const std::string& url, const database_options& database, complaints& wrong) {
  if (url.empty()) {
    if (!database.password_file.empty())
      wrong.add("database.password_file", "the private PostgreSQL needs none; set database.url");
    if (database.pooler)
      wrong.add("database.pooler", "the private PostgreSQL has no pooler; set database.url");
    return;
  }
  const auto parsed = db::conninfo::parse(url);
  if (const auto* why = std::get_if<db::db_failure>(&parsed))
    wrong.add("database.url", why->message);
  else if (database.pooler && std::get<db::conninfo>(parsed).find("options") != nullptr)
    wrong.add("database.pooler", "a pooler takes no options in database.url");
  if (const auto& path = database.password_file; !path.empty() && ::access(path.c_str(), R_OK) != 0)
    wrong.add("database.password_file", path + " cannot be read: " + std::strerror(errno));
}

} // namespace

void check_database_options(const engine_options& options) {
  const auto& database = options.database;
  complaints wrong;
  check_way(options.database_url, database, wrong);
  wrong.number("database.max_connections", database.max_connections, 2, 1000,
               "; one always serves single statements");
  wrong.number("database.min_connections", database.min_connections, 0,
               std::max(0, database.max_connections),
               ", the latter being database.max_connections");
  wrong.number("database.max_waiting", database.max_waiting, 1, 1'000'000);
  wrong.time("database.acquire_timeout", database.acquire_timeout, 10ms, 1h);
  wrong.time("database.statement_timeout", database.statement_timeout, 100ms, 1h);
  wrong.time("database.idle_limit", database.idle_limit, 1s, 24h);
  wrong.time("database.max_lifetime", database.max_lifetime, 1s, 30 * 24h);
  if (!wrong.text().empty())
    throw engine_error(errc::invalid_argument, wrong.text());
}

std::string without_secrets(const std::string& url) {
  const auto parsed = db::conninfo::parse(url);
  const auto* read = std::get_if<db::conninfo>(&parsed);
  return read != nullptr ? read->redacted() : "(hidden)";
}

pool_bounds bounds_of(const database_options& options) {
  pool_bounds out;
  out.max_connections = static_cast<std::size_t>(options.max_connections);
  out.min_connections =
      options.min_connections > 0
          ? static_cast<std::size_t>(options.min_connections)
          // Claims and outcomes go side by side.
          : std::min(out.max_connections, std::max<std::size_t>(2, (out.max_connections + 1) / 2));
  out.max_waiting = static_cast<std::size_t>(options.max_waiting);
  out.acquire_timeout = options.acquire_timeout;
  out.statement_timeout = options.statement_timeout;
  out.idle_limit = options.idle_limit;
  out.max_lifetime = options.max_lifetime;
  return out;
}

db::connect_options connect_options_of(const std::string& url, const database_options& options,
                                       const std::string& application_name) {
  db::connect_options out;
  out.url = url;
  out.password_file = options.password_file;
  out.application_name = application_name;
  out.statement_timeout = options.statement_timeout;
  out.pooler = options.pooler;
  return out;
}

engine_error refused_by(const db::db_error& why) {
  const bool right = why.what_failed().sqlstate == "42501";
  return engine_error(
      why.what_failed().code,
      why.what() + std::string{right ? "; 'troupe doctor' says what this user lacks" : ""});
}

} // namespace troupe
