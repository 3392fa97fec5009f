#include "db/dial.hpp"

#include <libpq-fe.h>

#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

namespace troupe::db {

namespace {

// A peer that vanishes without a word is noticed within about this time, idle or writing.
constexpr const char* keepalive_idle_s = "10";
constexpr const char* keepalive_interval_s = "3";
constexpr const char* keepalive_count = "3";
constexpr const char* unacknowledged_ms = "15000";

using settings = std::vector<std::pair<std::string, std::string>>;

/// What the URL says itself; nothing when it cannot be read. Its text may hold a password, so it is
/// never repeated, nor is what libpq quotes from it, option names excepted.
std::optional<settings> parse(const std::string& url, std::string& why) {
  char* error = nullptr;
  std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> parsed{
      PQconninfoParse(url.c_str(), &error), PQconninfoFree};
  std::string text = error ? error : "out of memory";
  PQfreemem(error);
  if (!parsed) {
    why = "the database URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE or "
          "\"host=... dbname=...\"";
    if (text.starts_with("invalid connection option") || text.starts_with("invalid URI query"))
      why += " (" + one_line(text) + ")";
    return std::nullopt;
  }
  settings given;
  for (auto* option = parsed.get(); option->keyword; ++option)
    if (option->val)
      given.emplace_back(option->keyword, option->val);
  return given;
}

const std::string* find(const settings& given, std::string_view keyword) {
  for (const auto& [name, value] : given)
    if (name == keyword)
      return &value;
  return nullptr;
}

std::string server_options(const connect_options& options, const settings& given) {
  auto set = [](const char* name, const std::string& value) {
    return std::string{"-c "} + name + "=" + value + " ";
  };
  std::string text = set("statement_timeout", std::to_string(options.statement_timeout.count()))
                     + set("lock_timeout", std::to_string(options.lock_timeout.count()))
                     + set("idle_in_transaction_session_timeout",
                           std::to_string(options.idle_in_transaction_timeout.count()))
                     + set("TimeZone", "UTC");
  if (options.hot_path_plans) {
    for (const char* name : {"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"})
      text += set(name, "off");
  }
  // Later settings win, so what the user asked for stands last.
  if (const auto* own = find(given, "options"))
    text += *own;
  else if (const char* inherited = std::getenv("PGOPTIONS"))
    text += inherited;
  return text;
}

settings merge(const connect_options& options, const settings& given) {
  settings all{{"dbname", options.url},
               {"fallback_application_name", options.application_name},
               {"client_encoding", "UTF8"},
               {"options", server_options(options, given)}};
  constexpr std::array defaults{
      std::pair{"keepalives", "1"},
      std::pair{"keepalives_idle", keepalive_idle_s},
      std::pair{"keepalives_interval", keepalive_interval_s},
      std::pair{"keepalives_count", keepalive_count},
      std::pair{"tcp_user_timeout", unacknowledged_ms},
  };
  for (const auto& [name, value] : defaults)
    if (!find(given, name))
      all.emplace_back(name, value);
  return all;
}

/// The SQLSTATE in a verbose message ("FATAL:  28P01: password ..."), which is then cut out of it.
std::string take_sqlstate(std::string& text) {
  constexpr std::size_t length = 5;
  for (auto at = text.find(":  "); at != std::string::npos; at = text.find(":  ", at + 1)) {
    auto begin = at + 3;
    auto end = text.find(':', begin);
    if (end != begin + length)
      continue;
    auto state = text.substr(begin, length);
    if (state.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos)
      continue;
    text.erase(begin, length + 2);
    if (auto location = text.find("\nLOCATION:"); location != std::string::npos)
      text.erase(location);
    return state;
  }
  return {};
}

const char* advice(std::string_view sqlstate) {
  if (sqlstate.starts_with("28"))
    return "; check user and password in the database URL, and the server's pg_hba.conf";
  if (sqlstate == "3D000")
    return "; create the database (createdb) or correct its name in the database URL";
  if (sqlstate == "53300")
    return "; raise the server's max_connections or use fewer connections";
  if (sqlstate == "57P03")
    return "; it will be tried again";
  return "";
}

void ignore_notice(void*, const PGresult*) {}

} // namespace

void close_connection::operator()(pg_conn* raw) const {
  PQfinish(raw);
}

std::string one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    if (c != '\n' && c != '\t') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ')
    line.pop_back();
  return line;
}

dial::dial(const connect_options& options)
    : timeout_(options.connect_timeout),
      deadline_(std::chrono::steady_clock::now() + options.connect_timeout) {
  std::string why;
  auto given = parse(options.url, why);
  if (!given) {
    failed_ = true;
    failure_ = lost_before_sending({}, why);
    failure_.code = errc::invalid_argument;
    failure_.retryable = false;
    return;
  }
  auto all = merge(options, *given);
  std::vector<const char*> keywords, values;
  for (const auto& [name, value] : all) {
    keywords.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  raw_.reset(PQconnectStartParams(keywords.data(), values.data(), 1));
  if (!raw_)
    throw std::bad_alloc{};
  PQsetNoticeReceiver(raw_.get(), ignore_notice, nullptr);
  // The only way to learn the SQLSTATE of a start-up failure: it is part of the verbose message.
  PQsetErrorVerbosity(raw_.get(), PQERRORS_VERBOSE);
}

int dial::socket() const {
  return raw_ ? PQsocket(raw_.get()) : -1;
}

connecting::want dial::fail(db_failure why) {
  failed_ = true;
  failure_ = std::move(why);
  raw_.reset();
  return connecting::want::failed;
}

connecting::want dial::refused() {
  std::string text = PQerrorMessage(raw_.get());
  server_error error;
  error.sqlstate = take_sqlstate(text);
  error.message = one_line(text) + advice(error.sqlstate);
  if (error.sqlstate.empty())
    return fail(lost_before_sending({}, error.message));
  auto failure = classify(error, {});
  failure.poisons_connection = true;
  return fail(std::move(failure));
}

connecting::want dial::established() {
  int version = PQserverVersion(raw_.get());
  if (version < oldest_server_version) {
    auto failure = lost_before_sending(
        {}, "PostgreSQL " + std::to_string(oldest_server_version / 10000)
                + " or newer is needed; this server is version " + std::to_string(version / 10000));
    failure.retryable = false;
    return fail(std::move(failure));
  }
  PQsetErrorVerbosity(raw_.get(), PQERRORS_DEFAULT);
  return connecting::want::done;
}

connecting::want dial::step() {
  if (failed_)
    return connecting::want::failed;
  if (PQstatus(raw_.get()) == CONNECTION_BAD)
    return refused();
  if (std::chrono::steady_clock::now() >= deadline_) {
    const char* host = PQhost(raw_.get());
    return fail(lost_before_sending(
        {}, "no answer from PostgreSQL at " + std::string{host && *host ? host : "its address"}
                + " within " + std::to_string(timeout_.count()) + " s"));
  }
  // As libpq asks: before its first poll, wait until the socket is writable.
  if (!std::exchange(polled_, true))
    return connecting::want::write;
  switch (PQconnectPoll(raw_.get())) {
  case PGRES_POLLING_READING:
    return connecting::want::read;
  case PGRES_POLLING_WRITING:
    return connecting::want::write;
  case PGRES_POLLING_OK:
    return established();
  default:
    return refused();
  }
}

} // namespace troupe::db
