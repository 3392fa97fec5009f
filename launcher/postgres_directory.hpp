// The data directory of the private PostgreSQL on disk: who owns what, the lock against a second
// engine, making the cluster, its configuration. Nothing here starts the server.
//   DIR/lock    held by the engine          DIR/pg      the socket's directory, 0700
//   DIR/pg.log  the server's log            DIR/pgdata  the cluster, 0700
#pragma once

#include "launcher/os_process.hpp"
#include "launcher/postgres_binaries.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// $XDG_DATA_HOME/troupe or ~/.local/share/troupe; /var/lib/troupe for root.
std::string default_data_dir();

/// What postmaster.pid says.
struct postmaster_file {
  pid_t pid = 0;
  std::string status; ///< starting, stopping, ready, standby; empty when not written yet
};

class postgres_directory {
public:
  using progress = std::function<void(std::string_view)>;

  /// A longer log is put aside as pg.log.1 at the next start; the one before that is dropped.
  static constexpr std::uintmax_t log_bound = 64'000'000;
  /// What the kernel allows in a socket's address.
  static constexpr std::size_t socket_path_bound = 107;

  /// Makes DIR when it is missing, checks it and locks it. Throws postgres_error that names what
  /// is in the way: a path too long, other owners, other writers, another engine.
  postgres_directory(const std::filesystem::path& directory, os_user server_user);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path data() const { return root_ / "pgdata"; }
  std::filesystem::path socket_directory() const { return root_ / "pg"; }
  std::filesystem::path socket() const { return socket_directory() / ".s.PGSQL.5432"; }
  std::filesystem::path log() const { return root_ / "pg.log"; }
  const os_user& server_user() const { return user_; }

  /// The major version of the cluster; none when it has to be made.
  std::optional<int> cluster_version() const;
  /// Makes the cluster beside its place and moves it there when it is whole.
  void make_cluster(const postgres_binaries& binaries, const progress& tell);
  /// Writes our part of the configuration. True when it changed.
  bool write_configuration();
  /// Opens the server's log for appending.
  unique_fd open_log();
  /// The last lines of the log that were written after `offset`.
  std::string log_since(std::uintmax_t offset) const;
  std::uintmax_t log_size() const;

  std::optional<postmaster_file> read_postmaster_file() const;
  /// True when this process is a server, or a server's child, that works in our cluster.
  bool is_our_server(pid_t pid) const;
  /// All of those.
  std::vector<pid_t> server_processes() const;
  /// Removes postmaster.pid and the socket's lock file when the process they name is no server of
  /// ours: a number used again, or a dead server that nobody has waited for yet.
  void remove_foreign_locks();

  /// Gives the directory free for another engine.
  void unlock() { lock_.reset(); }

private:
  void make_root();
  void check_reachable() const;
  void take_lock();
  void make_owned(const std::filesystem::path& directory) const;
  void remove_leftovers() const;
  pid_t locker(const std::filesystem::path& file) const;

  std::filesystem::path root_;
  os_user user_;
  unique_fd lock_;
};

} // namespace troupe
