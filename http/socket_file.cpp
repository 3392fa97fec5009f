#include "http/socket_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace troupe::http {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw std::runtime_error("cannot listen on unix:" + path + ": " + why);
}

[[noreturn]] void refuse_taken(const std::string& path) {
  refuse(path, "another server listens there; choose another path with --listen");
}

/// Whether a connect() finds somebody; a full backlog is somebody, too.
bool is_served(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    refuse(path, std::strerror(errno));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof to.sun_path - 1);
  const bool refused = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0
                       && (errno == ECONNREFUSED || errno == ENOENT);
  ::close(fd);
  return !refused;
}

} // namespace

socket_file::socket_file(std::string path) : path_(std::move(path)) {
  if (path_.empty() || path_.front() != '/')
    refuse(path_, "the path has to begin with /");
  if (path_.size() > path_bytes)
    refuse(path_, "the path has " + std::to_string(path_.size())
                      + " bytes, and a socket's may have " + std::to_string(path_bytes)
                      + " at most");
  lock();
  try {
    clear();
  } catch (...) {
    ::unlink((path_ + ".lock").c_str());
    ::close(lock_);
    throw;
  }
}

/// A lock file that its owner removed between our open() and flock() guards nothing.
void socket_file::lock() {
  const auto name = path_ + ".lock";
  while (true) {
    lock_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_ < 0)
      refuse(path_, "'" + name + "' cannot be made: " + std::strerror(errno));
    struct stat held {};
    struct stat named {};
    const bool locked = ::flock(lock_, LOCK_EX | LOCK_NB) == 0;
    if (locked && ::fstat(lock_, &held) == 0 && ::stat(name.c_str(), &named) == 0
        && held.st_ino == named.st_ino && held.st_dev == named.st_dev)
      return;
    ::close(lock_);
    if (!locked)
      refuse_taken(path_);
  }
}

void socket_file::clear() const {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0) {
    if (errno != ENOENT)
      refuse(path_, std::strerror(errno));
    return;
  }
  if (!S_ISSOCK(found.st_mode))
    refuse(path_, "something is there that is no socket");
  if (is_served(path_))
    refuse_taken(path_);
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT)
    refuse(path_,
           std::string{"what a dead server left there cannot be removed: "} + std::strerror(errno));
}

void socket_file::bound(mode_t mode) {
  struct stat made {};
  if (::chmod(path_.c_str(), mode) != 0 || ::lstat(path_.c_str(), &made) != 0)
    refuse(path_, std::strerror(errno));
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

socket_file::~socket_file() {
  struct stat found {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_
      && found.st_ino == inode_)
    ::unlink(path_.c_str());
  ::unlink((path_ + ".lock").c_str());
  ::close(lock_);
}

} // namespace troupe::http
