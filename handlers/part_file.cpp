#include "handlers/part_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {
constexpr std::size_t buffer_size = 64UL * 1024;
} // namespace

part_file::part_file(std::filesystem::path name) : name_(std::move(name)), part_(name_) {
  part_ += ".part";
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd_ < 0)
    fail("create");
  buffer_.reserve(buffer_size);
}

part_file::~part_file() {
  if (fd_ < 0)
    return;
  ::close(fd_);
  ::unlink(part_.c_str());
}

void part_file::write(std::string_view text) {
  buffer_ += text;
  bytes_ += text.size();
  if (buffer_.size() >= buffer_size)
    flush();
}

void part_file::finish() {
  flush();
  if (::fsync(fd_) != 0)
    fail("sync");
  if (::rename(part_.c_str(), name_.c_str()) != 0)
    fail("rename");
  ::close(std::exchange(fd_, -1));
  const int folder = ::open(name_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = folder >= 0 && ::fsync(folder) == 0;
  if (folder >= 0)
    ::close(folder);
  if (!synced)
    fail("sync the folder of");
}

void part_file::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const auto written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      fail("write");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

void part_file::fail(const char* what) const {
  throw std::system_error(errno, std::generic_category(),
                          std::string("cannot ") + what + " " + part_.string());
}

} // namespace troupe
