// Starting programs as some OS user without a shell, and touching files as that user. For the
// private PostgreSQL, which refuses to run as root. Linux only (pidfd, setfsuid, close_range).
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace troupe {

/// An owned file descriptor.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept;
  ~unique_fd() { reset(); }
  void reset();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

struct os_user {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

os_user current_user();
std::optional<os_user> find_user(const std::string& name);
/// The name of a user id, or the number when it has none.
std::string user_name(uid_t uid);

/// While it lives, this thread (and no other) opens, makes and removes files with the user's
/// rights. Nothing happens when that is who we are. Throws std::system_error when not permitted.
class filesystem_identity {
public:
  explicit filesystem_identity(const os_user& user);
  filesystem_identity(const filesystem_identity&) = delete;
  filesystem_identity& operator=(const filesystem_identity&) = delete;
  ~filesystem_identity();

private:
  uid_t uid_before_;
  gid_t gid_before_;
};

struct command {
  std::filesystem::path program;
  std::vector<std::string> arguments;   ///< without the program's name
  std::vector<std::string> environment; ///< NAME=value; nothing else is passed on
  /// SIGKILL for the child when the thread that started it ends.
  bool dies_with_parent = false;
};

/// Starts the program in a session of its own, signals reset, only standard descriptors open, input
/// from /dev/null, both outputs to `output`. Throws std::system_error when it cannot be started.
pid_t spawn(const command& what, const os_user& as, int output);

struct run_report {
  int status = 0;         ///< as waitpid gives it
  std::string output;     ///< the first 64 KiB of both outputs
  bool timed_out = false; ///< it was killed for taking too long
  bool succeeded() const { return !timed_out && status == 0; }
};

/// Runs the program to its end. Its whole process group is killed at the limit.
run_report run(const command& what, const os_user& as, std::chrono::milliseconds limit);

/// "exit status 1" or "killed by signal 9".
std::string describe_status(int status);

/// Of what a program of PostgreSQL said, the lines that tell of errors, as one; the last three
/// lines when none does.
std::string error_lines(std::string_view output);

/// A handle that keeps naming this very process. Empty when it is gone; throws std::system_error
/// when the kernel gives no handles.
unique_fd open_process(pid_t pid);
/// False when it is gone already.
bool signal_process(const unique_fd& process, int signal);

} // namespace troupe
