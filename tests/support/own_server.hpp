// A PostgreSQL of one test program's own, to be stopped, frozen, killed, and set up as a test needs
// it: the shared one of the fixture must survive. Without fsync, which only a crash of the machine
// would miss: what a test says of time must not hang on a disk. Socket only unless listen() is
// called, gone at the end.
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace troupe::tests {

class own_server {
public:
  /// Throws std::runtime_error with what the server said.
  own_server();
  /// A streaming standby of the other one.
  explicit own_server(const own_server* primary);
  own_server(const own_server&) = delete;
  own_server& operator=(const own_server&) = delete;
  ~own_server();

  const std::string& url() const { return url_; }
  /// Of its socket, for a proxy.
  std::string socket_path() const { return directory_ + "/.s.PGSQL.5432"; }
  const std::string& directory() const { return directory_; }

  /// Every session ends without a word to anybody, as in a crash; the next start recovers.
  void stop_immediately();
  void start();
  /// Restarts with these lines in postgresql.conf, and in front of pg_hba.conf.
  void configure(const std::string& settings, const std::string& access = {});
  /// On a loopback address of its own, which it gives, at port 5432.
  std::string listen();
  /// A copy in the data directory that the server may read and nobody else.
  void add_file(const std::string& name, const std::filesystem::path& from) const;
  /// Returns when new sessions have it.
  void reload() const;
  /// SIGSTOP to the server and every session: connections stay open and say nothing.
  void freeze();
  void thaw();
  /// Runs statements as the superuser, on a connection of its own.
  void exec(const std::string& sql) const;
  /// The only value of the only row.
  std::string value(const std::string& sql) const;

private:
  std::vector<pid_t> processes() const;

  std::string directory_;
  std::string url_;
  std::vector<pid_t> frozen_;
};

} // namespace troupe::tests
