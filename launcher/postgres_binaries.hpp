// Finding PostgreSQL's server programs. The private PostgreSQL asks; nothing is run here but
// `postgres --version`.
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace troupe {

/// What went wrong with the private PostgreSQL, and what the operator can do about it.
class postgres_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// The same of a data directory that cannot be used as it is: nothing but another one, or a change
/// to it, helps.
class data_dir_error : public postgres_error {
public:
  using postgres_error::postgres_error;
};

struct postgres_binaries {
  std::filesystem::path directory; ///< holds postgres, initdb and createdb
  int major = 0;
};

constexpr int oldest_postgres = 14;

/// Where to look. The defaults are the system's; tests give others.
struct postgres_search {
  /// When set, the only place: an option or TROUPE_PG_BIN.
  std::filesystem::path only;
  /// Directories whose children are major versions, as Debian has them.
  std::vector<std::filesystem::path> roots{"/usr/lib/postgresql"};
  /// The value of PATH.
  std::string path;

  /// With TROUPE_PG_BIN and PATH of this process.
  static postgres_search of_environment();
};

/// The newest, or the one of that major version, which a data directory asks for. Throws
/// postgres_error, or then data_dir_error, that says what to install.
postgres_binaries find_postgres(const postgres_search& where, std::optional<int> major = {});

} // namespace troupe
