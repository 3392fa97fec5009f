#include "db/dial.hpp"

#include <libpq-fe.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <unistd.h>
#include <utility>
#include <vector>

namespace troupe::db {

namespace {

// A peer that vanishes without a word is noticed within about this time, idle or writing.
constexpr const char* keepalive_idle_s = "5";
constexpr const char* keepalive_interval_s = "2";
constexpr const char* keepalive_count = "3";
constexpr const char* unacknowledged_ms = "10000";

std::string server_options(const connect_options& options, const conninfo& given) {
  auto set = [](const char* name, const std::string& value) {
    return std::string{"-c "} + name + "=" + value + " ";
  };
  std::string text = set("statement_timeout", std::to_string(options.statement_timeout.count()))
                     + set("lock_timeout", std::to_string(options.lock_timeout.count()))
                     + set("idle_in_transaction_session_timeout",
                           std::to_string(options.idle_in_transaction_timeout.count()))
                     + set("TimeZone", "UTC");
  // Later settings win, so what the user asked for stands last.
  if (const auto* own = given.find("options"))
    text += *own;
  else if (const char* inherited = std::getenv("PGOPTIONS"))
    text += inherited;
  return text;
}

db_failure unusable(const std::string& message) {
  auto why = lost_before_sending({}, message);
  why.code = errc::invalid_argument;
  why.retryable = false;
  return why;
}

/// A pooler takes no `options` at the start, wherever they come from.
std::optional<db_failure> objection_to_options(const conninfo& given) {
  const char* inherited = std::getenv("PGOPTIONS");
  if (!given.find("options") && !(inherited && *inherited))
    return std::nullopt;
  return unusable(std::string{given.find("options") ? "options in the database URL" : "PGOPTIONS"}
                  + " cannot be used behind a pooler, which lends a session for one transaction");
}

/// libpq would only tell when it is at the handshake, or silently do without.
std::optional<db_failure> objection_to_files(const conninfo& given) {
  for (const char* key : {"sslrootcert", "sslcrl", "sslcert"})
    if (const auto* path = given.find(key); path && ::access(path->c_str(), R_OK) != 0)
      return unusable(std::string{"the file that "} + key + " in the database URL names, " + *path
                      + ", cannot be read: " + std::strerror(errno));
  const auto* mode = given.find("sslmode");
  if (!mode || !mode->starts_with("verify") || given.find("sslrootcert"))
    return std::nullopt;
  if (const char* set = std::getenv("PGSSLROOTCERT"); set && *set)
    return std::nullopt;
  const char* home = std::getenv("HOME");
  const auto usual = std::string{home ? home : ""} + "/.postgresql/root.crt";
  if (::access(usual.c_str(), R_OK) == 0)
    return std::nullopt;
  return unusable("sslmode=" + *mode
                  + " in the database URL needs sslrootcert=FILE, the certificate "
                    "of the authority that signed the server's ("
                  + usual + " is not there either)");
}

/// Its first line.
std::variant<std::string, db_failure> read_password(const std::string& path) {
  constexpr std::size_t longest = 4096;
  std::ifstream file{path};
  std::string line;
  std::getline(file, line);
  if (!file && line.empty()) {
    // It may be in the middle of being replaced.
    auto why = lost_before_sending({}, "the password file " + path + " is empty or cannot be read");
    return why;
  }
  if (line.size() > longest || line.find('\0') != std::string::npos)
    return unusable("the password file " + path + " holds no password");
  if (line.ends_with('\r'))
    line.pop_back();
  return line;
}

conninfo::settings merge(const connect_options& options, const conninfo& given) {
  conninfo::settings all;
  for (const auto& [key, value] : given.given())
    if (key != "host" && key != "hostaddr" && key != "port" && key != "options"
        && key != "target_session_attrs")
      all.emplace_back(key, value);
  auto otherwise = [&](const char* key, const std::string& value) {
    if (!given.find(key))
      all.emplace_back(key, value);
  };
  all.emplace_back("client_encoding", "UTF8");
  if (!options.pooler)
    all.emplace_back("options", server_options(options, given));
  otherwise("fallback_application_name", options.application_name);
  otherwise("keepalives", "1");
  otherwise("keepalives_idle", keepalive_idle_s);
  otherwise("keepalives_interval", keepalive_interval_s);
  otherwise("keepalives_count", keepalive_count);
  otherwise("tcp_user_timeout", unacknowledged_ms);
  return all;
}

/// target_session_attrs of one round over all addresses after the other. libpq knows only the
/// address that it is given, so a preference among several is ours to carry out.
std::vector<std::string> rounds(const conninfo& given) {
  const char* inherited = std::getenv("PGTARGETSESSIONATTRS");
  std::string wanted = given.hosts().size() > 1 ? "read-write" : "any";
  if (const auto* own = given.find("target_session_attrs"))
    wanted = *own;
  else if (inherited && *inherited)
    wanted = inherited;
  if (wanted == "prefer-standby")
    return {"standby", "any"};
  return {wanted};
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
  if (sqlstate == "28P01")
    return "; check user and password in the database URL or its password file";
  if (sqlstate.starts_with("28"))
    return "; check the user in the database URL, and the server's pg_hba.conf";
  if (sqlstate == "3D000")
    return "; create the database (createdb) or correct its name in the database URL";
  if (sqlstate == "53300")
    return "; raise the server's max_connections or use fewer connections";
  if (sqlstate == "57P03")
    return "; it will be tried again";
  return "";
}

/// What libpq says of certificates carries no SQLSTATE.
const char* advice_on_tls(std::string_view text) {
  const auto says = [text](std::string_view words) { return text.find(words) != text.npos; };
  if (says("certificate verify failed"))
    return "; see that the server's certificate has not expired, and that sslrootcert in the "
           "database URL is of the authority that signed it";
  if (says("does not match host name"))
    return "; the host in the database URL has to be one of the certificate's names";
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
      // Each line of libpq is a sentence of its own, and few end with a stop.
      line += std::string_view{".;:,?!"}.find(line.back()) == std::string_view::npos ? "; " : " ";
    }
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == ';'))
    line.pop_back();
  return line;
}

dial::dial(const connect_options& options) : deadline_(clock::now()) {
  if (prepare(options))
    try_next();
}

/// False when it has failed already.
bool dial::prepare(const connect_options& options) {
  auto refuse = [this](db_failure why) {
    failed_ = true;
    failure_ = std::move(why);
    return false;
  };
  auto parsed = conninfo::parse(options.url);
  if (auto* why = std::get_if<db_failure>(&parsed))
    return refuse(unusable(why->message));
  const auto& given = std::get<conninfo>(parsed);
  if (auto why = objection_to_files(given))
    return refuse(*std::move(why));
  if (auto why = options.pooler ? objection_to_options(given) : std::nullopt)
    return refuse(*std::move(why));
  settings_ = merge(options, given);
  if (!options.password_file.empty()) {
    auto password = read_password(options.password_file);
    if (auto* why = std::get_if<db_failure>(&password))
      return refuse(std::move(*why));
    settings_.emplace_back("password", std::get<std::string>(password)); // the last one counts
  }
  for (const auto& wanted : rounds(given)) {
    for (const auto& host : given.hosts()) {
      auto known = options.addresses.find(host.name);
      if (!host.address.empty() || known == options.addresses.end())
        candidates_.push_back({host.name, host.port, host.address, wanted});
      else
        for (const auto& address : known->second)
          candidates_.push_back({host.name, host.port, address, wanted});
    }
  }
  if (candidates_.empty())
    return refuse(lost_before_sending({}, "no host of the database URL has an address"));
  constexpr std::chrono::milliseconds least{1000};
  per_candidate_ = std::max(least, std::chrono::milliseconds{options.connect_timeout}
                                       / static_cast<std::int64_t>(candidates_.size()));
  if (const auto* own = given.find("connect_timeout"); own && *own != "0")
    per_candidate_ = std::chrono::seconds{std::stol(*own)};
  return true;
}

void dial::try_next() {
  const auto& to = candidates_[next_++];
  std::vector<const char*> keywords, values;
  auto add = [&](const char* key, const std::string& value) {
    keywords.push_back(key);
    values.push_back(value.c_str());
  };
  for (const auto& [name, value] : settings_)
    add(name.c_str(), value);
  add("host", to.host);
  add("hostaddr", to.address);
  add("port", to.port);
  add("target_session_attrs", to.wanted);
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  raw_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
  if (!raw_)
    throw std::bad_alloc{};
  PQsetNoticeReceiver(raw_.get(), ignore_notice, nullptr);
  // The only way to learn the SQLSTATE of a start-up failure: it is part of the verbose message.
  PQsetErrorVerbosity(raw_.get(), PQERRORS_VERBOSE);
  deadline_ = clock::now() + per_candidate_;
  polled_ = false;
}

int dial::socket() const {
  return raw_ ? PQsocket(raw_.get()) : -1;
}

/// On to the next address; after the last one all of them have failed, and each says why.
connecting::want dial::fail(db_failure why) {
  raw_.reset();
  // What a server said tells more than that another one is not there.
  if (!failure_.message.empty()) {
    auto both = failure_.message + "; " + why.message;
    if (why.sqlstate.empty())
      why = std::move(failure_);
    why.message = std::move(both);
  }
  failure_ = std::move(why);
  if (next_ < candidates_.size()) {
    try_next();
    return connecting::want::write;
  }
  failed_ = true;
  return connecting::want::failed;
}

connecting::want dial::refused() {
  std::string text = PQerrorMessage(raw_.get());
  server_error error;
  error.sqlstate = take_sqlstate(text);
  if (error.sqlstate.empty() && PQconnectionNeedsPassword(raw_.get()) != 0)
    error.sqlstate = "28P01";
  error.message = one_line(text) + advice(error.sqlstate) + advice_on_tls(text);
  // Of a name and its address libpq tells the address only.
  if (const auto& tried = candidates_[next_ - 1]; !tried.address.empty() && !tried.host.empty())
    error.message.insert(0, tried.host + ": ");
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
  auto tried = next_;
  auto wanted = step_once();
  // The next address may have failed at once: nobody would wake us for it.
  while (tried != next_ && !failed_) {
    tried = next_;
    wanted = step_once();
  }
  return wanted;
}

connecting::want dial::step_once() {
  if (PQstatus(raw_.get()) == CONNECTION_BAD)
    return refused();
  if (clock::now() >= deadline_) {
    const char* host = PQhost(raw_.get());
    auto seconds = std::chrono::ceil<std::chrono::seconds>(per_candidate_).count();
    return fail(lost_before_sending({}, "no answer from PostgreSQL at "
                                            + std::string{host && *host ? host : "its address"}
                                            + " within " + std::to_string(seconds) + " s"));
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
