// The server's life: adopt or launch, wait until it answers, watch its process by a pidfd (it need
// not be our child), restart it with growing pauses, shut it down. One thread watches; start() and
// stop() run while it does not.
#include "launcher/private_postgres.hpp"

#include "launcher/postgres_ping.hpp"
#include "launcher/threads.hpp"
#include "messages/log.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <exception>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

namespace {

constexpr milliseconds ping_limit = 2s;
constexpr milliseconds ping_pause = 20ms;
/// After SIGQUIT, before SIGKILL.
constexpr milliseconds immediate_limit = 10s;
constexpr milliseconds longest_restart = 30s;
/// Who lived this long does not "keep dying".
constexpr milliseconds stable_after = 60s;
/// For a killed server's children to go by themselves; then they get SIGQUIT, then SIGKILL.
constexpr milliseconds orphan_patience = 500ms;
constexpr milliseconds orphan_quit_limit = 2s;
constexpr milliseconds orphan_kill_limit = 10s;
constexpr milliseconds createdb_limit = 60s;
constexpr const char* superuser = "postgres";

/// Thrown out of a wait when stop() wants the watching thread back.
struct interrupted {};

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                       || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      encoded += c;
    else
      encoded.append({'%', digits[byte >> 4U], digits[byte & 15U]});
  }
  return encoded;
}

os_user choose_user(const private_postgres::options& wanted) {
  if (geteuid() != 0)
    return current_user();
  if (const auto user = find_user(wanted.os_user); user && user->uid != 0)
    return *user;
  throw postgres_error("PostgreSQL does not run as root, and there is no other OS user '"
                       + wanted.os_user
                       + "': install the package postgresql, which makes it, or start as an "
                         "ordinary user");
}

postgres_binaries choose_binaries(const private_postgres::options& wanted,
                                  std::optional<int> major) {
  auto where = postgres_search::of_environment();
  if (!wanted.bin_dir.empty())
    where.only = wanted.bin_dir;
  return find_postgres(where, major);
}

} // namespace

class private_postgres::supervisor {
public:
  explicit supervisor(options wanted)
      : options_(std::move(wanted)), directory_(options_.data_dir, choose_user(options_)),
        wake_(eventfd(0, EFD_CLOEXEC)) {}
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;
  ~supervisor() { stop(); }

  void start() {
    const auto version = directory_.cluster_version();
    binaries_ = choose_binaries(options_, version);
    if (!version)
      directory_.make_cluster(binaries_, options_.progress);
    bring_up();
    watcher_ = start_thread("troupe-postgres", [this] { watch(); });
  }

  void stop() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
    if (watcher_.joinable())
      watcher_.join();
    shut_down();
    directory_.unlock();
  }

  std::string url() const { return url_of(directory_.root(), options_.database); }
  const fs::path& root() const { return directory_.root(); }
  pid_t pid() const { return pid_.load(); }

private:
  /// Waits for the server's end, a wake-up, or the time. True when the server ended.
  bool ended_within(milliseconds limit, bool interruptible = true) {
    const auto deadline = steady::now() + limit;
    for (;;) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady::now()).count();
      pollfd watched[2]{{process_.get(), POLLIN, 0}, {interruptible ? wake_.get() : -1, POLLIN, 0}};
      const int ready = poll(watched, 2, static_cast<int>(std::max<std::int64_t>(left, 0)));
      if (ready < 0 && errno == EINTR)
        continue;
      if (watched[1].revents != 0)
        throw interrupted{};
      return watched[0].revents != 0;
    }
  }
  void pause(milliseconds time) {
    pollfd watched{wake_.get(), POLLIN, 0};
    if (poll(&watched, 1, static_cast<int>(time.count())) > 0)
      throw interrupted{};
  }

  void tell(const std::string& line) const {
    log::info("postgres", line);
    if (options_.progress)
      options_.progress(line);
  }

  void bring_up() {
    const bool changed = directory_.write_configuration();
    const auto deadline = steady::now() + options_.start_limit;
    if (adopt(deadline)) {
      if (changed)
        signal_process(process_, SIGHUP);
    } else {
      launch(deadline);
    }
    if (ping(options_.database).kind == ping_result::answer::no_database)
      make_database();
  }

  ping_result ping(const std::string& database) const {
    return ping_postgres(directory_.socket(), superuser, database, ping_limit);
  }

  /// Takes over a server that runs in our cluster already. False when there is none any more.
  bool adopt(steady::time_point deadline) {
    const auto found = directory_.read_postmaster_file();
    if (!found || !directory_.is_our_server(found->pid))
      return false;
    process_ = open_process(found->pid);
    if (!process_)
      return false;
    pid_ = found->pid;
    if (found->status == "stopping") {
      tell("waiting for the PostgreSQL of an earlier start to stop");
      if (!ended_within(options_.stop_limit))
        kill_server();
      forget();
      return false;
    }
    if (wait_ready(deadline)) {
      log::info("postgres", "adopted the running server, process " + std::to_string(pid_));
      return true;
    }
    if (!ended_within(0ms)) {
      tell("the PostgreSQL of an earlier start does not answer; ending it");
      kill_server();
    }
    forget();
    return false;
  }

  void launch(steady::time_point deadline) {
    end_orphans();
    directory_.remove_foreign_locks();
    const auto offset = directory_.log_size();
    const unique_fd log_file = directory_.open_log();
    pid_ = spawn({binaries_.directory / "postgres",
                  {"-D", directory_.data().string()},
                  {"PATH=" + binaries_.directory.string() + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"},
                  false},
                 directory_.server_user(), log_file.get());
    process_ = open_process(pid_);
    if (wait_ready(deadline)) {
      log::info("postgres", "server started, process " + std::to_string(pid_));
      return;
    }
    const bool ended = ended_within(0ms);
    if (!ended)
      kill_server();
    forget();
    throw postgres_error(std::string("the private PostgreSQL did not start: ")
                         + (ended ? "it ended at once" : "it did not answer in time") + "; "
                         + directory_.log().string() + " ends with:\n"
                         + directory_.log_since(offset));
  }

  /// A killed server's children hold its shared memory, and no server starts beside them. Most
  /// leave within milliseconds; one that computes, or is stopped, does not notice.
  void end_orphans() {
    const auto begin = steady::now();
    int sent = 0;
    for (;;) {
      const auto left = directory_.server_processes();
      if (left.empty())
        return;
      const auto waited = steady::now() - begin;
      if (waited > orphan_patience + orphan_quit_limit + orphan_kill_limit)
        throw postgres_error("process " + std::to_string(left.front())
                             + " of a killed PostgreSQL does not end");
      if (waited > orphan_patience) {
        const int signal = waited > orphan_patience + orphan_quit_limit ? SIGKILL : SIGQUIT;
        if (std::exchange(sent, signal) != signal)
          log::warn("postgres", "ending what a killed server left, " + std::to_string(left.size())
                                    + " processes, with SIG" + sigabbrev_np(signal));
        for (const pid_t pid : left)
          if (const auto orphan = open_process(pid); orphan && directory_.is_our_server(pid))
            signal_process(orphan, signal);
      }
      pause(ping_pause);
    }
  }

  /// False when the server ended, hangs, or the time is over.
  bool wait_ready(steady::time_point deadline) {
    auto silent_since = steady::time_point::max();
    while (steady::now() < deadline) {
      const ping_result answer = ping(options_.database);
      switch (answer.kind) {
      case ping_result::answer::ready:
      case ping_result::answer::no_database:
        return true;
      case ping_result::answer::refused:
        throw postgres_error("the private PostgreSQL refuses connections: " + answer.detail);
      case ping_result::answer::silent:
        silent_since = std::min(silent_since, steady::now() - ping_limit);
        if (steady::now() - silent_since > options_.silence_limit)
          return false;
        break;
      case ping_result::answer::not_yet:
      case ping_result::answer::nobody:
        silent_since = steady::time_point::max();
        break;
      }
      if (ended_within(ping_pause))
        return false;
    }
    return false;
  }

  void make_database() {
    const auto made = run({binaries_.directory / "createdb",
                           {"--host=" + directory_.socket_directory().string(), "--port=5432",
                            std::string("--username=") + superuser, "--no-password",
                            "--maintenance-db=postgres", "--", options_.database},
                           {"PATH=" + binaries_.directory.string() + ":/usr/bin:/bin", "LC_ALL=C"},
                           true},
                          directory_.server_user(), createdb_limit);
    if (!made.succeeded() && ping(options_.database).kind != ping_result::answer::ready)
      throw postgres_error("cannot make the database " + options_.database + ": " + made.output);
  }

  /// Forgets the server that ended and says how it did, as far as we may know.
  std::string forget() {
    int status = 0;
    const pid_t pid = pid_.exchange(0);
    process_.reset();
    return pid != 0 && waitpid(pid, &status, WNOHANG) == pid ? describe_status(status)
                                                             : std::string("no child of ours");
  }

  /// Immediate shutdown: the next start recovers from the WAL.
  void kill_server() {
    signal_process(process_, SIGQUIT);
    if (ended_within(immediate_limit, false))
      return;
    signal_process(process_, SIGKILL);
    ended_within(immediate_limit, false);
  }

  void shut_down() {
    if (!process_)
      return;
    signal_process(process_, SIGINT); // "fast": ends sessions, writes a checkpoint
    if (!ended_within(options_.stop_limit, false)) {
      log::warn("postgres", "no fast shutdown in time; stopping at once");
      kill_server();
    }
    forget();
    log::info("postgres", "server stopped");
  }

  void watch() {
    try {
      milliseconds delay = options_.first_restart;
      for (;;) {
        const auto since = steady::now();
        while (!ended_within(1h)) {
        }
        if (steady::now() - since > stable_after)
          delay = options_.first_restart;
        const pid_t pid = pid_;
        const std::string how = forget();
        log::error("postgres",
                   "server process " + std::to_string(pid) + " ended (" + how + "); restarting it");
        revive(delay);
      }
    } catch (const interrupted&) {
      log::debug("postgres", "no longer watched");
    }
  }

  void revive(milliseconds& delay) {
    for (;;) {
      pause(delay);
      delay = std::min(delay * 2, longest_restart);
      try {
        bring_up();
        return;
      } catch (const std::exception& failed) {
        log::error("postgres", failed.what());
        if (process_ && !ended_within(0ms))
          kill_server();
        forget();
      }
    }
  }

  options options_;
  postgres_directory directory_;
  unique_fd wake_;
  postgres_binaries binaries_;
  std::atomic<pid_t> pid_{0};
  unique_fd process_;
  std::thread watcher_;
};

private_postgres private_postgres::start(options wanted) {
  if (wanted.data_dir.empty())
    wanted.data_dir = default_data_dir();
  try {
    auto inner = std::make_unique<supervisor>(std::move(wanted));
    inner->start();
    return private_postgres(std::move(inner));
  } catch (const std::system_error& failed) {
    throw postgres_error(std::string("the private PostgreSQL did not start: ") + failed.what());
  }
}

private_postgres::private_postgres(std::unique_ptr<supervisor> inner) : inner_(std::move(inner)) {}
private_postgres::private_postgres(private_postgres&&) noexcept = default;
private_postgres& private_postgres::operator=(private_postgres&&) noexcept = default;
private_postgres::~private_postgres() = default;

std::string private_postgres::url_of(const fs::path& data_dir, const std::string& database) {
  return std::string("postgresql://") + superuser + "@/" + percent_encoded(database)
         + "?host=" + percent_encoded((data_dir / "pg").string()) + "&port=5432";
}

std::string private_postgres::url() const {
  return inner_->url();
}

const fs::path& private_postgres::data_dir() const {
  return inner_->root();
}

bool private_postgres::running() const {
  return inner_->pid() != 0;
}

std::optional<pid_t> private_postgres::postmaster_pid() const {
  const pid_t pid = inner_->pid();
  return pid == 0 ? std::nullopt : std::optional(pid);
}

void private_postgres::stop() {
  inner_->stop();
}

} // namespace troupe
