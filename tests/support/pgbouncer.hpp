// A PgBouncer in transaction mode in front of the server for tests, with a bounded number of
// sessions for everybody.
#pragma once

#include "tests/support/await.hpp"
#include "tests/support/database.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <fstream>
#include <pwd.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe::tests {

inline std::string socket_directory() {
  auto url = server_url();
  auto begin = url.find("host=") + 5;
  return url.substr(begin, url.find('&', begin) - begin);
}

/// Gone with its object.
class pgbouncer {
public:
  static constexpr const char* port = "6432";

  explicit pgbouncer(int sessions) {
    auto path = dir_.path().string();
    std::ofstream{path + "/users"} << "\"postgres\" \"\"\n";
    std::ofstream{path + "/ini"} << "[databases]\n* = host=" << socket_directory()
                                 << " port=5432\n[pgbouncer]\nlisten_port = " << port
                                 << "\nunix_socket_dir = " << path
                                 << "\nauth_type = trust\nauth_file = " << path
                                 << "/users\npool_mode = transaction\ndefault_pool_size = "
                                 << sessions << "\nlogfile = " << path << "/log\n";
    // It does not run as root; the server's own user may enter the server's directory.
    const auto* owner = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
    if (owner)
      for (const char* file : {"", "/users", "/ini"})
        BOOST_REQUIRE(::chown((path + file).c_str(), owner->pw_uid, owner->pw_gid) == 0);
    const auto ini = path + "/ini";
    child_ = ::fork();
    BOOST_REQUIRE(child_ >= 0);
    if (child_ == 0) {
      if (owner && (::setgid(owner->pw_gid) != 0 || ::setuid(owner->pw_uid) != 0))
        ::_exit(126);
      for (const char* program : {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"})
        ::execl(program, "pgbouncer", "--quiet", ini.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    const bool up = await_until([&] { return ended() || answers(); });
    BOOST_REQUIRE_MESSAGE(up && !ended(), "pgbouncer does not run; scripts/bootstrap installs it");
  }
  pgbouncer(const pgbouncer&) = delete;
  pgbouncer& operator=(const pgbouncer&) = delete;
  ~pgbouncer() {
    if (ended())
      return;
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
  }
  std::string url(const std::string& database) const {
    return "postgresql://postgres@/" + database + "?host=" + dir_.path().string() + "&port=" + port;
  }

private:
  /// The socket's file is there a moment before anybody listens.
  bool answers() const {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    const auto path = dir_.path().string() + "/.s.PGSQL." + port;
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    const int tried = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool taken =
        ::connect(tried, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
    ::close(tried);
    return taken;
  }
  bool ended() {
    ended_ = ended_ || ::waitpid(child_, nullptr, WNOHANG) == child_;
    return ended_;
  }

  temp_dir dir_;
  pid_t child_ = -1;
  bool ended_ = false;
};

} // namespace troupe::tests
