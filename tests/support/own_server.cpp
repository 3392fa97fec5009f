#include "tests/support/own_server.hpp"

#include "db/blocking.hpp"
#include "tests/support/await.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe::tests {

namespace {

/// Standard output of the script; throws when it fails.
std::string script(const std::string& arguments) {
  const std::string command = TROUPE_TEST_DATABASE_SCRIPT " " + arguments + " 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "r"); // NOLINT(cert-env33-c): our own script
  if (pipe == nullptr)
    throw std::runtime_error("cannot run " + command);
  std::string said;
  std::array<char, 256> piece{};
  while (std::fgets(piece.data(), piece.size(), pipe) != nullptr)
    said += piece.data();
  if (::pclose(pipe) != 0)
    throw std::runtime_error(command + ": " + said);
  while (!said.empty() && said.back() == '\n')
    said.pop_back();
  return said.substr(said.rfind('\n') + 1);
}

std::atomic<int> servers{0};

std::string next_directory() {
  return "/tmp/trp-own-" + std::to_string(::getpid()) + "-" + std::to_string(++servers);
}

} // namespace

own_server::own_server() : directory_(next_directory()) {
  start();
}

own_server::own_server(const own_server* primary) : directory_(next_directory()) {
  url_ = script("start --standby-of " + primary->directory_ + " " + directory_);
}

own_server::~own_server() {
  try {
    thaw();
    script("stop " + directory_);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s was not removed: %s\n", directory_.c_str(), e.what());
  }
}

void own_server::start() {
  url_ = script("start --no-fsync " + directory_);
}

void own_server::stop_immediately() {
  std::ifstream file(directory_ + "/data/postmaster.pid");
  pid_t postmaster = 0;
  file >> postmaster;
  if (postmaster <= 0 || ::kill(postmaster, SIGQUIT) != 0)
    throw std::runtime_error("the server does not run");
  const std::filesystem::path lock = directory_ + "/data/postmaster.pid";
  if (!await_until([&] { return !std::filesystem::exists(lock); }))
    throw std::runtime_error("the server does not end");
}

void own_server::configure(const std::string& settings, const std::string& access) {
  std::ofstream(directory_ + "/data/postgresql.conf", std::ios::app) << settings << "\n";
  const auto path = directory_ + "/data/pg_hba.conf";
  std::stringstream before;
  before << std::ifstream(path).rdbuf();
  std::ofstream(path) << access << "\n" << before.str();
  stop_immediately();
  start();
}

std::string own_server::listen() {
  constexpr int most = 250;
  const int pid = ::getpid();
  const auto address = "127." + std::to_string(1 + pid % most) + "."
                       + std::to_string(1 + pid / most % most) + "." + std::to_string(++servers);
  configure("listen_addresses = '" + address + "'", "host all all 127.0.0.0/8 trust");
  return address;
}

void own_server::add_file(const std::string& name, const std::filesystem::path& from) const {
  const std::filesystem::path data = directory_ + "/data";
  const auto to = data / name;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  struct stat owner {};
  if (::stat(data.c_str(), &owner) != 0 || ::chown(to.c_str(), owner.st_uid, owner.st_gid) != 0
      || ::chmod(to.c_str(), S_IRUSR | S_IWUSR) != 0)
    throw std::runtime_error(to.string() + " cannot be given to the server");
}

void own_server::reload() const {
  const auto before = value("select pg_conf_load_time()");
  exec("select pg_reload_conf()");
  if (!await_until([&] { return value("select pg_conf_load_time()") != before; }))
    throw std::runtime_error("the server does not reload");
}

/// The server and its sessions are the processes that stand in its data directory.
std::vector<pid_t> own_server::processes() const {
  std::vector<pid_t> found;
  std::error_code ec;
  const std::filesystem::path data = directory_ + "/data";
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ec)) {
    const auto name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos)
      continue;
    if (std::filesystem::read_symlink(entry.path() / "cwd", ec) == data)
      found.push_back(static_cast<pid_t>(std::stol(name)));
  }
  return found;
}

void own_server::freeze() {
  // The server first: it must not start sessions that would be missed.
  for (int round = 0; round < 2; ++round)
    for (const auto pid : processes())
      if (::kill(pid, SIGSTOP) == 0)
        frozen_.push_back(pid);
}

void own_server::thaw() {
  for (const auto pid : frozen_)
    ::kill(pid, SIGCONT);
  frozen_.clear();
}

namespace {
db::startup_session open(const std::string& url) {
  db::connect_options options;
  options.url = url;
  options.application_name = "test";
  return db::startup_session{options};
}
} // namespace

void own_server::exec(const std::string& sql) const {
  open(url_).exec(sql);
}

std::string own_server::value(const std::string& sql) const {
  return open(url_).value(sql).value_or("NULL");
}

} // namespace troupe::tests
