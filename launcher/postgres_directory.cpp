// When we are root, DIR is root's and only its two subdirectories are the server user's; whatever
// happens inside those is done with that user's rights, so a link planted there leads nowhere.
#include "launcher/postgres_directory.hpp"

#include "launcher/postgres_configuration.hpp"
#include "messages/log.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <locale.h>
#include <poll.h>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::minutes initdb_limit{5};
constexpr std::string_view staging_prefix = "pgdata.new-";
constexpr const char* own_configuration = "troupe.conf";
constexpr int log_tail_lines = 8;

[[noreturn]] void fail(const std::string& what, int reason = errno) {
  throw postgres_error(what + ": " + std::strerror(reason));
}

/// The same, where the place itself is at fault.
[[noreturn]] void refuse(const std::string& what, int reason = errno) {
  throw data_dir_error(what + ": " + std::strerror(reason) + "; choose another --data-dir");
}

std::string octal(mode_t mode) {
  std::ostringstream text;
  text << '0' << std::oct << (mode & 07777U);
  return text.str();
}

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_all(int fd, std::string_view text, const fs::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR)
      fail("cannot write " + file.string());
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
  }
  if (fsync(fd) != 0)
    fail("cannot write " + file.string());
}

void sync_directory(const fs::path& directory) {
  const unique_fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0)
    fail("cannot sync " + directory.string());
}

/// Beside its place, then moved there: a kill in between leaves the old file or the new one.
void replace_file(const fs::path& file, std::string_view text) {
  const fs::path fresh = file.string() + ".new";
  ::unlink(fresh.c_str());
  {
    const unique_fd fd(
        open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd)
      fail("cannot make " + fresh.string());
    write_all(fd.get(), text, fresh);
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0)
    fail("cannot replace " + file.string());
}

const char* cluster_locale() {
  if (const locale_t there = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr)) {
    freelocale(there);
    return "C.UTF-8";
  }
  return "C";
}

} // namespace

std::string default_data_dir() {
  if (geteuid() == 0)
    return "/var/lib/troupe";
  if (const char* base = std::getenv("XDG_DATA_HOME"); base != nullptr && *base == '/')
    return std::string(base) + "/troupe";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/share/troupe";
  throw data_dir_error("HOME is not set: say where with --data-dir");
}

postgres_directory::postgres_directory(const fs::path& directory, os_user server_user)
    : root_(fs::absolute(directory).lexically_normal()), user_(std::move(server_user)) {
  if (!root_.has_filename())
    root_ = root_.parent_path();
  const std::string& name = root_.native();
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    throw data_dir_error("the data directory's name holds control characters: choose another "
                         "--data-dir");
  if (name.find(',') != std::string::npos) // libpq reads a list of hosts there, and has no escape
    throw data_dir_error("the data directory's name " + name
                         + " holds a comma, at which PostgreSQL's "
                         + "clients would cut the socket's path: choose another --data-dir");
  if (socket().native().size() > socket_path_bound)
    throw data_dir_error("the socket's path " + socket().string() + " has "
                         + std::to_string(socket().native().size())
                         + " bytes, and the kernel allows " + std::to_string(socket_path_bound)
                         + ": choose a shorter --data-dir");
  make_root();
  take_lock();
  check_reachable();
  remove_leftovers();
  make_owned(socket_directory());
}

void postgres_directory::make_root() {
  std::error_code failed;
  fs::create_directories(root_.parent_path(), failed);
  // Root's may be passed through, not listed, by the user that the server runs as.
  const mode_t mode = user_.uid == geteuid() ? 0700 : 0711;
  if (::mkdir(root_.c_str(), mode) != 0 && errno != EEXIST)
    refuse("cannot make the data directory " + root_.string());
  root_ = fs::canonical(root_); // what /proc calls it
  struct stat found {};
  if (::stat(root_.c_str(), &found) != 0)
    refuse("cannot look at the data directory " + root_.string());
  if (!S_ISDIR(found.st_mode))
    throw data_dir_error("the data directory " + root_.string()
                         + " is not a directory: choose another --data-dir");
  if (found.st_uid != geteuid())
    throw data_dir_error("the data directory " + root_.string() + " belongs to user "
                         + user_name(found.st_uid) + ", and this is user " + user_name(geteuid())
                         + ": start as its owner or choose another --data-dir");
  if ((found.st_mode & 022U) != 0)
    throw data_dir_error("the data directory " + root_.string() + " may be written by others (mode "
                         + octal(found.st_mode) + "): take that away with chmod go-w, or choose "
                         + "another --data-dir");
  const mode_t wanted = (found.st_mode & 07777U) | mode;
  if (wanted != (found.st_mode & 07777U) && ::chmod(root_.c_str(), wanted) != 0)
    refuse("cannot change the mode of " + root_.string());
}

void postgres_directory::check_reachable() const {
  const filesystem_identity as_server(user_);
  fs::path reached = "/";
  for (const fs::path& part : root_.relative_path()) {
    reached /= part;
    struct stat found {};
    if (::stat((reached / ".").c_str(), &found) != 0)
      throw data_dir_error("user " + user_.name + ", which runs PostgreSQL, cannot pass through "
                           + reached.string() + " (" + std::strerror(errno)
                           + "): allow it with chmod o+x " + reached.string()
                           + ", or choose another --data-dir");
  }
}

void postgres_directory::take_lock() {
  const fs::path file = root_ / "lock";
  lock_ = unique_fd(open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock_)
    refuse("cannot open " + file.string());
  // A killed engine may leave a child that was forked and has not yet replaced its program: it
  // holds the lock for a moment longer than the engine lives.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{5};
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = read_whole(file);
    const auto pid = static_cast<pid_t>(std::strtol(holder.c_str(), nullptr, 10));
    const bool dead = pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
    if (dead && std::chrono::steady_clock::now() < patience) {
      ::poll(nullptr, 0, 10);
      continue;
    }
    throw data_dir_error("the data directory " + root_.string() + " is in use by process "
                         + holder.substr(0, holder.find('\n')) + ": stop it, or choose another "
                         + "--data-dir");
  }
  if (ftruncate(lock_.get(), 0) != 0)
    fail("cannot write " + file.string());
  write_all(lock_.get(), std::to_string(getpid()) + "\n", file);
}

void postgres_directory::make_owned(const fs::path& directory) const {
  if (::mkdir(directory.c_str(), 0700) == 0) {
    if (user_.uid != geteuid() && ::lchown(directory.c_str(), user_.uid, user_.gid) != 0)
      fail("cannot give " + directory.string() + " to user " + user_.name);
  } else if (errno != EEXIST) {
    refuse("cannot make " + directory.string());
  }
  struct stat found {};
  if (::lstat(directory.c_str(), &found) != 0)
    fail("cannot look at " + directory.string());
  if (!S_ISDIR(found.st_mode))
    throw data_dir_error(directory.string()
                         + " is not a directory: move it away, or choose another " + "--data-dir");
  if (found.st_uid != user_.uid && user_.uid != geteuid() && found.st_uid == geteuid()) {
    // A kill came between mkdir and chown.
    if (::lchown(directory.c_str(), user_.uid, user_.gid) != 0)
      fail("cannot give " + directory.string() + " to user " + user_.name);
  } else if (found.st_uid != user_.uid) {
    throw data_dir_error(directory.string() + " belongs to user " + user_name(found.st_uid)
                         + ", and PostgreSQL runs as user " + user_.name
                         + " here: start as the same user as before, or choose another --data-dir");
  }
  if ((found.st_mode & 0777U) != 0700 && ::chmod(directory.c_str(), 0700) != 0)
    fail("cannot change the mode of " + directory.string());
}

void postgres_directory::remove_leftovers() const {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(root_, failed)) {
    if (!entry.path().filename().string().starts_with(staging_prefix))
      continue;
    {
      const filesystem_identity as_server(user_);
      for (const auto& inner : fs::directory_iterator(entry.path(), failed))
        fs::remove_all(inner.path(), failed);
    }
    if (::rmdir(entry.path().c_str()) != 0)
      log::warn("postgres", "cannot remove " + entry.path().string() + ": " + std::strerror(errno));
  }
}

std::optional<int> postgres_directory::cluster_version() const {
  struct stat found {};
  if (::lstat(data().c_str(), &found) != 0) {
    if (errno == ENOENT)
      return std::nullopt;
    fail("cannot look at " + data().string());
  }
  make_owned(data());
  const filesystem_identity as_server(user_);
  const std::string text = read_whole(data() / "PG_VERSION");
  int major = 0;
  std::from_chars(text.data(), text.data() + text.size(), major);
  if (major <= 0)
    throw data_dir_error(data().string() + " is there and is no PostgreSQL cluster: move it away, "
                         + "or choose another --data-dir");
  return major;
}

void postgres_directory::make_cluster(const postgres_binaries& binaries, const progress& tell) {
  if (tell)
    tell("creating private PostgreSQL " + std::to_string(binaries.major) + " in " + root_.string()
         + " ...");
  std::string staging = (root_ / staging_prefix).string() + "XXXXXX";
  if (::mkdtemp(staging.data()) == nullptr)
    fail("cannot make " + staging);
  make_owned(staging);
  const std::string locale = cluster_locale();
  const command initdb{
      binaries.directory / "initdb",
      {"--pgdata=" + staging, "--username=postgres", "--encoding=UTF8", "--locale=" + locale,
       "--data-checksums", "--auth-local=trust", "--auth-host=reject"},
      {"PATH=" + binaries.directory.string() + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"},
      true};
  const run_report made = run(initdb, user_, initdb_limit);
  if (!made.succeeded()) {
    remove_leftovers();
    throw postgres_error("initdb failed ("
                         + (made.timed_out ? "it took too long" : describe_status(made.status))
                         + "): " + error_lines(made.output));
  }
  {
    const filesystem_identity as_server(user_);
    const fs::path main = fs::path(staging) / "postgresql.conf";
    replace_file(main, read_whole(main) + "\ninclude = '" + own_configuration + "'\n");
    replace_file(fs::path(staging) / own_configuration, postgres_configuration(socket_directory()));
    sync_directory(staging);
  }
  if (::rename(staging.c_str(), data().c_str()) != 0)
    fail("cannot move the new cluster to " + data().string());
  sync_directory(root_);
}

bool postgres_directory::write_configuration() {
  const filesystem_identity as_server(user_);
  const fs::path file = data() / own_configuration;
  const std::string wanted = postgres_configuration(socket_directory());
  if (read_whole(file) == wanted)
    return false;
  replace_file(file, wanted);
  return true;
}

unique_fd postgres_directory::open_log() {
  if (log_size() > log_bound)
    ::rename(log().c_str(), (log().string() + ".1").c_str());
  unique_fd fd(open(log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || fchown(fd.get(), user_.uid, user_.gid) != 0)
    fail("cannot open " + log().string());
  return fd;
}

std::uintmax_t postgres_directory::log_size() const {
  std::error_code missing;
  const auto size = fs::file_size(log(), missing);
  return missing ? 0 : size;
}

std::string postgres_directory::log_since(std::uintmax_t offset) const {
  std::ifstream in(log(), std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  std::ostringstream text;
  text << in.rdbuf();
  std::string all = text.str();
  while (!all.empty() && all.back() == '\n')
    all.pop_back();
  std::size_t begin = all.size();
  for (int lines = 0; lines < log_tail_lines && begin != std::string::npos && begin > 0; ++lines)
    begin = all.rfind('\n', begin - 1);
  return begin == std::string::npos ? all : all.substr(begin + (begin == 0 ? 0 : 1));
}

std::optional<postmaster_file> postgres_directory::read_postmaster_file() const {
  const filesystem_identity as_server(user_);
  std::istringstream lines(read_whole(data() / "postmaster.pid"));
  postmaster_file found;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (number == 1)
      std::from_chars(line.data(), line.data() + line.size(), found.pid);
    if (number == 8) // the status is padded with blanks
      found.status = line.substr(0, line.find(' '));
  }
  found.pid = std::abs(found.pid); // a single-user server writes its number negated
  return found.pid > 1 ? std::optional(found) : std::nullopt;
}

bool postgres_directory::is_our_server(pid_t pid) const {
  std::error_code gone; // or a zombie, or somebody else's: not ours
  const filesystem_identity as_server(user_);
  const fs::path process = "/proc/" + std::to_string(pid);
  // Whose program was replaced by an upgrade is "postgres (deleted)".
  return fs::read_symlink(process / "cwd", gone) == data()
         && fs::read_symlink(process / "exe", gone).filename().string().starts_with("postgres");
}

std::vector<pid_t> postgres_directory::server_processes() const {
  std::vector<pid_t> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (ec == std::errc{} && *end == '\0' && is_our_server(pid))
      found.push_back(pid);
  }
  return found;
}

pid_t postgres_directory::locker(const fs::path& file) const {
  const filesystem_identity as_server(user_);
  const std::string text = read_whole(file);
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return std::abs(pid); // a single-user server writes its number negated
}

void postgres_directory::remove_foreign_locks() {
  for (const fs::path& file : {data() / "postmaster.pid", fs::path(socket().string() + ".lock")}) {
    const pid_t pid = locker(file);
    if (pid <= 1 || is_our_server(pid))
      continue;
    if (::kill(pid, 0) != 0 && errno == ESRCH)
      continue; // PostgreSQL sees by itself that this one is stale
    log::warn("postgres", file.string() + " names process " + std::to_string(pid)
                              + ", which is none of ours; removing it");
    const filesystem_identity as_server(user_);
    ::unlink(file.c_str());
  }
}

} // namespace troupe
