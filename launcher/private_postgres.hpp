// A PostgreSQL of our own for `troupe dev`, the embedded engine and tests: made at first use, kept
// in a data directory that outlives the process, watched and restarted while the engine runs.
// start() and stop() block; they belong to start-up and shutdown.
#pragma once

#include "launcher/postgres_directory.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

class private_postgres {
public:
  struct options {
    std::filesystem::path data_dir;                  ///< empty: default_data_dir()
    std::filesystem::path bin_dir;                   ///< empty: TROUPE_PG_BIN, or the newest found
    std::string os_user = "postgres";                ///< runs the server when we are root
    std::string database = "troupe";                 ///< made when missing
    std::chrono::milliseconds start_limit{180'000};  ///< crash recovery of 2 GB of WAL included
    std::chrono::milliseconds stop_limit{30'000};    ///< fast shutdown; then immediate
    std::chrono::milliseconds silence_limit{15'000}; ///< a server that listens and is silent hangs
    std::chrono::milliseconds first_restart{200};    ///< doubles up to 30 s while it keeps dying
    /// A line for a person, when something takes its time.
    std::function<void(std::string_view)> progress;
  };

  /// Returns when the server takes connections. Adopts one that an earlier engine left running.
  /// Throws postgres_error with what to do about it.
  static private_postgres start(options wanted);

  private_postgres(private_postgres&&) noexcept;
  private_postgres& operator=(private_postgres&&) noexcept;
  /// Stops.
  ~private_postgres();

  /// A libpq URI for the database over the socket.
  std::string url() const;
  /// The same for the server of a directory, whoever runs it.
  static std::string url_of(const std::filesystem::path& data_dir,
                            const std::string& database = "troupe");
  const std::filesystem::path& data_dir() const;
  /// The server runs, as far as its process tells; false between its death and its restart.
  bool running() const;
  std::optional<pid_t> postmaster_pid() const;
  /// Shuts the server down and frees the directory. Harmless when repeated.
  void stop();

private:
  class supervisor;
  explicit private_postgres(std::unique_ptr<supervisor> inner);
  std::unique_ptr<supervisor> inner_;
};

} // namespace troupe
