#include "db/conninfo.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>

namespace troupe::db {

namespace {

using options_handle = std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)>;

constexpr std::array secrets{"password", "sslpassword"};

bool is_secret(std::string_view key) {
  return std::find(secrets.begin(), secrets.end(), key) != secrets.end();
}

db_failure wrong(std::string message) {
  db_failure why;
  why.code = errc::invalid_argument;
  why.message = std::move(message);
  return why;
}

db_failure wrong_value(std::string_view key, std::string_view value, std::string_view wanted) {
  return wrong("the database URL says " + std::string{key} + "=" + std::string{value}
               + "; it has to be " + std::string{wanted});
}

/// How many letters have to change to make one word of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

/// The key libpq knows that was probably meant, or nothing.
std::string suggestion_for(std::string_view key) {
  options_handle all{PQconndefaults(), PQconninfoFree};
  std::string best;
  std::size_t best_distance = 3;
  for (auto* option = all.get(); option && option->keyword; ++option) {
    auto d = distance(key, option->keyword);
    if (d < best_distance && d < key.size()) {
      best = option->keyword;
      best_distance = d;
    }
  }
  return best;
}

/// libpq quotes what it cannot read, and that may be part of a password; option names excepted.
db_failure unreadable(std::string_view libpq_says) {
  if (libpq_says.starts_with("invalid connection option")
      || libpq_says.starts_with("invalid URI query parameter")) {
    auto begin = libpq_says.find('"');
    auto end = libpq_says.rfind('"');
    if (begin != std::string_view::npos && end > begin) {
      auto key = libpq_says.substr(begin + 1, end - begin - 1);
      auto meant = suggestion_for(key);
      return wrong("the database URL has the unknown key \"" + std::string{key} + "\""
                   + (meant.empty() ? "" : "; did you mean \"" + meant + "\"?"));
    }
  }
  return wrong("the database URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE or "
               "\"host=... dbname=...\"");
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (;;) {
    auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos)
      return parts;
    list.remove_prefix(comma + 1);
  }
}

bool is_number(std::string_view text, long least, long most) {
  long value = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc{} && end == text.data() + text.size() && value >= least
         && value <= most;
}

constexpr long largest = 2'147'483'647;

struct number_rule {
  const char* key;
  long least, most;
  const char* wanted;
};
constexpr std::array number_rules{
    number_rule{"connect_timeout", 0, largest, "a number of seconds"},
    number_rule{"keepalives", 0, 1, "0 or 1"},
    number_rule{"keepalives_idle", 0, largest, "a number of seconds"},
    number_rule{"keepalives_interval", 0, largest, "a number of seconds"},
    number_rule{"keepalives_count", 0, largest, "a number"},
    number_rule{"tcp_user_timeout", 0, largest, "a number of milliseconds"},
};

struct word_rule {
  const char* key;
  const char* allowed; ///< with a space after each
};
constexpr std::array word_rules{
    word_rule{"sslmode", "disable allow prefer require verify-ca verify-full "},
    word_rule{"target_session_attrs", "any read-write read-only primary standby prefer-standby "},
    word_rule{"client_encoding", "UTF8 utf8 UTF-8 utf-8 "},
};

std::optional<db_failure> wrong_setting(const std::string& key, const std::string& value) {
  for (const auto& rule : number_rules)
    if (key == rule.key && !is_number(value, rule.least, rule.most))
      return wrong_value(key, value, rule.wanted);
  for (const auto& rule : word_rules) {
    if (key != rule.key)
      continue;
    const std::string_view allowed = rule.allowed;
    if (value.empty() || value.find(' ') != std::string::npos
        || (" " + std::string{allowed}).find(" " + value + " ") == std::string::npos)
      return wrong_value(key, value,
                         "one of " + std::string{allowed.substr(0, allowed.size() - 1)});
  }
  return std::nullopt;
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// The list's part for one of `count` hosts: one value serves all.
std::string part(const std::vector<std::string>& list, std::size_t index) {
  return list.size() == 1 ? list[0] : list[index];
}

bool is_address(const std::string& name) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, name.c_str(), &buffer) == 1
         || ::inet_pton(AF_INET6, name.c_str(), &buffer) == 1;
}

/// Percent signs for what would be read as a part of the URL.
std::string encoded(std::string_view text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/,";
  constexpr const char* digits = "0123456789ABCDEF";
  std::string result;
  for (char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      auto byte = static_cast<unsigned char>(c);
      result += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return result;
}

std::variant<std::vector<conninfo::host>, db_failure> read_hosts(const conninfo& info) {
  auto value = [&info](const char* key, const char* variable) {
    const auto* given = info.find(key);
    return split(given ? *given : from_environment(variable));
  };
  auto names = value("host", "PGHOST");
  auto addresses = value("hostaddr", "PGHOSTADDR");
  auto ports = value("port", "PGPORT");
  const auto count = std::max(names.size(), addresses.size());
  auto other_count = [count](const std::vector<std::string>& list) {
    return list.size() != count && !(list.size() == 1 && (count == 1 || list[0].empty()));
  };
  for (const auto& [key, list] : {std::pair{"host", &names}, std::pair{"hostaddr", &addresses}})
    if (other_count(*list))
      return wrong(std::string{"the database URL names "} + std::to_string(list->size()) + " in "
                   + key + " where there are " + std::to_string(count) + " hosts");
  if (ports.size() != 1 && ports.size() != count)
    return wrong("the database URL names " + std::to_string(ports.size())
                 + " in port where there are " + std::to_string(count) + " hosts");
  for (const auto& port : ports)
    if (!port.empty() && !is_number(port, 1, 65'535))
      return wrong_value("port", port, "a number from 1 to 65535");
  std::vector<conninfo::host> hosts;
  for (std::size_t i = 0; i < count; ++i)
    hosts.push_back({part(names, i), part(ports, i), part(addresses, i)});
  return hosts;
}

} // namespace

std::variant<conninfo, db_failure> conninfo::parse(const std::string& url) {
  char* error = nullptr;
  options_handle parsed{PQconninfoParse(url.c_str(), &error), PQconninfoFree};
  std::unique_ptr<char, void (*)(void*)> libpq_says{error, PQfreemem};
  if (!parsed)
    return unreadable(error ? error : "");
  conninfo info;
  for (auto* option = parsed.get(); option->keyword; ++option)
    if (option->val)
      info.given_.emplace_back(option->keyword, option->val);
  for (const auto& [key, value] : info.given_)
    if (auto why = wrong_setting(key, value))
      return *why;
  auto hosts = read_hosts(info);
  if (auto* why = std::get_if<db_failure>(&hosts))
    return std::move(*why);
  info.hosts_ = std::move(std::get<std::vector<host>>(hosts));
  return info;
}

const std::string* conninfo::find(std::string_view key) const {
  for (const auto& [name, value] : given_)
    if (name == key)
      return &value;
  return nullptr;
}

std::vector<std::string> conninfo::names_to_look_up() const {
  std::vector<std::string> names;
  for (const auto& each : hosts_) {
    // A name that begins so is a socket.
    const bool socket = each.name.empty() || each.name[0] == '/' || each.name[0] == '@';
    if (!socket && each.address.empty() && !is_address(each.name)
        && std::find(names.begin(), names.end(), each.name) == names.end())
      names.push_back(each.name);
  }
  return names;
}

std::string conninfo::redacted() const {
  std::string text = "postgresql://";
  if (const auto* user = find("user"))
    text += encoded(*user) + "@";
  text += "/";
  if (const auto* database = find("dbname"))
    text += encoded(*database);
  char separator = '?';
  for (const auto& [key, value] : given_) {
    if (is_secret(key) || key == "user" || key == "dbname")
      continue;
    text += separator + key + "=" + encoded(value);
    separator = '&';
  }
  return text;
}

} // namespace troupe::db
