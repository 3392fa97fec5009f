// Debian keeps the server programs off the PATH, one directory per major version; others put them
// on the PATH. Versions are read from the program itself, not from the directory's name.
#include "launcher/postgres_binaries.hpp"

#include "launcher/os_process.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds version_limit{20};

bool is_complete(const fs::path& directory) {
  for (const char* program : {"postgres", "initdb", "createdb"}) {
    if (access((directory / program).c_str(), X_OK) != 0)
      return false;
  }
  return true;
}

/// The major version, or 0 when the program does not tell.
int version_of(const fs::path& directory) {
  const auto answer = run({directory / "postgres", {"--version"}, {"LC_ALL=C"}, true},
                          current_user(), version_limit);
  constexpr std::string_view before = "(PostgreSQL) ";
  const auto at = answer.output.find(before);
  int major = 0;
  if (answer.succeeded() && at != std::string::npos) {
    const char* digits = answer.output.data() + at + before.size();
    std::from_chars(digits, answer.output.data() + answer.output.size(), major);
  }
  return major;
}

std::vector<fs::path> places(const postgres_search& where) {
  std::vector<fs::path> found;
  for (const fs::path& root : where.roots) {
    std::error_code unreadable; // a root that is not there is what we look for
    for (const auto& entry : fs::directory_iterator(root, unreadable))
      found.push_back(entry.path() / "bin");
  }
  std::size_t begin = 0;
  while (begin < where.path.size()) {
    const std::size_t end = std::min(where.path.find(':', begin), where.path.size());
    const fs::path entry = where.path.substr(begin, end - begin);
    if (entry.is_absolute())
      found.push_back(entry);
    begin = end + 1;
  }
  return found;
}

std::string install_hint(std::optional<int> major) {
  return major ? "install the package postgresql-" + std::to_string(*major)
               : std::string("install the package postgresql (on Debian: apt-get install "
                             "postgresql)");
}

} // namespace

postgres_search postgres_search::of_environment() {
  postgres_search where;
  if (const char* only = std::getenv("TROUPE_PG_BIN"))
    where.only = only;
  if (const char* path = std::getenv("PATH"))
    where.path = path;
  return where;
}

postgres_binaries find_postgres(const postgres_search& where, std::optional<int> major) {
  if (!where.only.empty()) {
    if (!is_complete(where.only))
      throw postgres_error("no PostgreSQL programs (postgres, initdb, createdb) in "
                           + where.only.string()
                           + ", which TROUPE_PG_BIN or an option names as their directory");
    postgres_binaries named{where.only, version_of(where.only)};
    if (named.major < oldest_postgres)
      throw postgres_error("PostgreSQL in " + where.only.string() + " is older than "
                           + std::to_string(oldest_postgres));
    if (major && *major != named.major)
      throw data_dir_error("the data directory was made by PostgreSQL " + std::to_string(*major)
                           + ", but " + where.only.string() + " holds "
                           + std::to_string(named.major)
                           + ": name the other one's directory in TROUPE_PG_BIN, or choose another "
                             "--data-dir");
    return named;
  }
  postgres_binaries best;
  std::string seen;
  for (const fs::path& place : places(where)) {
    if (!is_complete(place))
      continue;
    const int version = version_of(place);
    seen += (seen.empty() ? "" : ", ") + std::to_string(version) + " in " + place.string();
    if (version < oldest_postgres || (major && version != *major) || version <= best.major)
      continue;
    best = {place, version};
  }
  if (best.major != 0)
    return best;
  if (major)
    throw data_dir_error("the data directory was made by PostgreSQL " + std::to_string(*major)
                         + ", which is not installed (found: " + (seen.empty() ? "none" : seen)
                         + "): " + install_hint(major) + ", or choose another --data-dir");
  throw postgres_error("no PostgreSQL " + std::to_string(oldest_postgres)
                       + " or newer found (found: " + (seen.empty() ? "none" : seen) + "); "
                       + install_hint({})
                       + ", name its directory in TROUPE_PG_BIN, or give a DATABASE_URL");
}

} // namespace troupe
