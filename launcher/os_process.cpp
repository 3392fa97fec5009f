// Between fork and exec only async-signal-safe calls are made: other threads may have held any lock
// at the fork. Everything that allocates is prepared before.
#include "launcher/os_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

constexpr std::size_t output_bound = 65'536;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

os_user from_entry(const passwd& entry) {
  os_user user{entry.pw_name, entry.pw_uid, entry.pw_gid, {}};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(entry.pw_name, entry.pw_gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<std::size_t>(count));
    getgrouplist(entry.pw_name, entry.pw_gid, user.groups.data(), &count);
  }
  user.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return user;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts)
    result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

struct child_plan {
  char* const* arguments;
  char* const* environment;
  const char* program;
  const os_user* user;
  bool switch_user;
  bool dies_with_parent;
  pid_t parent;
  int input;
  int output;
  int report;
};

/// The child's side. Reports errno through `report` when it does not get as far as the program.
[[noreturn]] void become(const child_plan& plan) {
  const auto give_up = [&] {
    const int reason = errno;
    [[maybe_unused]] const auto written = write(plan.report, &reason, sizeof reason);
    _exit(127);
  };
  setsid();
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal)
    sigaction(signal, &standard, nullptr); // fails for SIGKILL and the like, which are standard
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  umask(077);
  // Raw calls: glibc's wrappers would tell other threads, of which this process has none.
  if (plan.switch_user
      && (syscall(SYS_setgroups, plan.user->groups.size(), plan.user->groups.data()) != 0
          || syscall(SYS_setresgid, plan.user->gid, plan.user->gid, plan.user->gid) != 0
          || syscall(SYS_setresuid, plan.user->uid, plan.user->uid, plan.user->uid) != 0))
    give_up();
  if (plan.dies_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent)
      _exit(127);
  }
  if (chdir("/") != 0 || dup2(plan.input, 0) < 0 || dup2(plan.output, 1) < 0
      || dup2(plan.output, 2) < 0)
    give_up();
  if (plan.report != 3 && dup3(plan.report, 3, O_CLOEXEC) < 0)
    give_up();
  close_range(4, ~0U, 0);
  execve(plan.program, plan.arguments, plan.environment);
  const int reason = errno;
  [[maybe_unused]] const auto written = write(3, &reason, sizeof reason);
  _exit(127);
}

/// A descriptor above the standard ones, so that the child's dup2 calls overwrite none of ours.
unique_fd above_standard(int fd) {
  unique_fd owned(fd);
  if (fd < 0 || fd > 3)
    return owned;
  return unique_fd(fcntl(fd, F_DUPFD_CLOEXEC, 4));
}

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    fail("cannot make a pipe");
  return {above_standard(ends[0]), above_standard(ends[1])};
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR)
      return 0;
  }
  return status;
}

} // namespace

unique_fd& unique_fd::operator=(unique_fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void unique_fd::reset() {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = -1;
}

os_user current_user() {
  if (const passwd* entry = getpwuid(geteuid()))
    return from_entry(*entry);
  return {std::to_string(geteuid()), geteuid(), getegid(), {}};
}

std::optional<os_user> find_user(const std::string& name) {
  if (const passwd* entry = getpwnam(name.c_str()))
    return from_entry(*entry);
  return std::nullopt;
}

std::string user_name(uid_t uid) {
  const passwd* entry = getpwuid(uid);
  return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

filesystem_identity::filesystem_identity(const os_user& user)
    : uid_before_(geteuid()), gid_before_(getegid()) {
  if (user.uid == uid_before_)
    return;
  setfsgid(user.gid);
  setfsuid(user.uid);
  // setfsuid does not report failure; asking for an impossible id tells the present one.
  if (static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))) != user.uid) {
    setfsgid(gid_before_);
    throw std::system_error(EPERM, std::generic_category(), "cannot act as user " + user.name);
  }
}

filesystem_identity::~filesystem_identity() {
  setfsuid(uid_before_);
  setfsgid(gid_before_);
}

pid_t spawn(const command& what, const os_user& as, int output) {
  std::vector<std::string> arguments{what.program.string()};
  arguments.insert(arguments.end(), what.arguments.begin(), what.arguments.end());
  std::vector<std::string> environment = what.environment;
  const auto argument_pointers = pointers(arguments);
  const auto environment_pointers = pointers(environment);
  const unique_fd input = above_standard(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const unique_fd out = unique_fd(fcntl(output, F_DUPFD_CLOEXEC, 4));
  pipe_ends report = make_pipe();
  if (!input || !out)
    fail("cannot prepare the descriptors of " + what.program.string());
  const child_plan plan{argument_pointers.data(),
                        environment_pointers.data(),
                        arguments.front().c_str(),
                        &as,
                        as.uid != geteuid(),
                        what.dies_with_parent,
                        getpid(),
                        input.get(),
                        out.get(),
                        report.write.get()};
  const pid_t child = fork();
  if (child < 0)
    fail("cannot fork for " + what.program.string());
  if (child == 0)
    become(plan);
  report.write.reset();
  int reason = 0;
  ssize_t got = 0;
  while ((got = read(report.read.get(), &reason, sizeof reason)) < 0 && errno == EINTR) {
  }
  if (got == sizeof reason) {
    wait_for(child);
    throw std::system_error(reason, std::generic_category(),
                            "cannot run " + what.program.string() + " as user " + as.name);
  }
  return child;
}

run_report run(const command& what, const os_user& as, std::chrono::milliseconds limit) {
  pipe_ends out = make_pipe();
  const pid_t child = spawn(what, as, out.write.get());
  out.write.reset();
  const auto deadline = std::chrono::steady_clock::now() + limit;
  run_report report;
  std::array<char, 4096> block{};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd readable{out.read.get(), POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : poll(&readable, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0) {
      report.timed_out = true;
      kill(-child, SIGKILL);
      break;
    }
    const ssize_t got = read(out.read.get(), block.data(), block.size());
    if (got <= 0)
      break;
    const auto room = output_bound - report.output.size();
    report.output.append(block.data(), std::min(room, static_cast<std::size_t>(got)));
  }
  report.status = wait_for(child);
  return report;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status))
    return "killed by signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

std::string error_lines(std::string_view output) {
  constexpr std::size_t last = 3;
  std::vector<std::string_view> lines;
  while (!output.empty()) {
    const auto end = std::min(output.find('\n'), output.size());
    if (end > 0)
      lines.push_back(output.substr(0, end));
    output.remove_prefix(std::min(end + 1, output.size()));
  }
  const auto tells = [](std::string_view line) {
    for (const auto* word : {"error:", "ERROR:", "FATAL:", "PANIC:"})
      if (line.find(word) != std::string_view::npos)
        return true;
    return false;
  };
  if (std::any_of(lines.begin(), lines.end(), tells))
    std::erase_if(lines, [&](std::string_view line) { return !tells(line); });
  else if (lines.size() > last)
    lines.erase(lines.begin(), lines.end() - last);
  std::string out;
  for (const auto line : lines)
    out.append(out.empty() ? "" : "; ").append(line);
  return out;
}

unique_fd open_process(pid_t pid) {
  const auto fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0 && errno != ESRCH && errno != EINVAL)
    fail("cannot get a handle of process " + std::to_string(pid));
  return unique_fd(fd);
}

bool signal_process(const unique_fd& process, int signal) {
  return syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) == 0;
}

} // namespace troupe
