// A database URL, read and checked once: libpq's URI or "key=value ..." and nothing else. What is
// wrong is told with the key's name and never with a secret. Asked by dial, and by whoever takes a
// URL from a person. What the URL leaves out, libpq takes from the environment (PGHOST and the
// like).
#pragma once

#include "db/failure.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::db {

class conninfo {
public:
  /// A failure is errc::invalid_argument.
  static std::variant<conninfo, db_failure> parse(const std::string& url);

  struct host {
    std::string name;    ///< a name, an address or a socket's directory; empty: libpq's default
    std::string port;    ///< empty: libpq's default
    std::string address; ///< what the name stands for, if the URL says so
  };
  /// In the order in which they are tried; at least one.
  const std::vector<host>& hosts() const { return hosts_; }
  /// Of these the names that somebody has to look up: libpq would, and block meanwhile.
  std::vector<std::string> names_to_look_up() const;

  using settings = std::vector<std::pair<std::string, std::string>>;
  /// As given, percent signs decoded.
  const settings& given() const { return given_; }
  const std::string* find(std::string_view key) const;
  /// The same URL for logs: no password.
  std::string redacted() const;

private:
  conninfo() = default;

  settings given_;
  std::vector<host> hosts_;
};

} // namespace troupe::db
