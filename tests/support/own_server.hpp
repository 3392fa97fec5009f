// A PostgreSQL of one test program's own, to be stopped, frozen and killed: the shared one of the
// fixture must survive. Durable (fsync on), socket only, gone at the end.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace troupe::tests {

class own_server {
public:
  /// Throws std::runtime_error with what the server said.
  own_server();
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
