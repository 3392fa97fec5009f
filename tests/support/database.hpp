// A database of its own for a test: copied from a migrated template, dropped at the end. Needs
// TROUPE_TEST_DATABASE_URL (ctest sets it; scripts/test-database starts a server by hand). Blocking
// calls for assertions; for tests only.
#pragma once

#include <string>
#include <vector>

namespace troupe::tests {

/// The server for tests; throws with what to do when the variable is missing.
std::string server_url();
/// `url` with another database name.
std::string with_database(const std::string& url, const std::string& database);

class test_database {
public:
  enum class content { migrated, empty };
  explicit test_database(content wanted = content::migrated);
  test_database(const test_database&) = delete;
  test_database& operator=(const test_database&) = delete;
  ~test_database();

  const std::string& url() const { return url_; }
  const std::string& name() const { return name_; }
  /// Runs statements; throws db::db_error.
  void exec(const std::string& sql) const;
  /// Rows as texts; NULL is "NULL".
  std::vector<std::vector<std::string>> query_text(const std::string& sql) const;
  /// The only value of the only row.
  std::string value(const std::string& sql) const;

private:
  std::string name_;
  std::string url_;
};

} // namespace troupe::tests
