#include "cli/output_file.hpp"

#include "cli/exit_code.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace troupe::cli {

namespace {

constexpr std::size_t chunk = 1024UL * 1024;

[[noreturn]] void cannot_write(const std::filesystem::path& out, int error) {
  throw command_error(exit_code::failed, "cannot write " + out.string() + ": "
                                             + std::generic_category().message(error));
}

struct descriptor {
  int fd;
  ~descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

/// True, or false with errno.
bool write_all(int to, const char* bytes, std::size_t size) {
  while (size > 0) {
    const auto step = ::write(to, bytes, size);
    if (step < 0 && errno != EINTR)
      return false;
    const auto taken = static_cast<std::size_t>(step > 0 ? step : 0);
    bytes += taken;
    size -= taken;
  }
  return true;
}

/// True, or false with errno.
bool copy_all(int from, int to) {
  std::vector<char> buffer(chunk);
  while (true) {
    const auto size = ::read(from, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR)
      continue;
    if (size <= 0)
      return size == 0;
    if (!write_all(to, buffer.data(), static_cast<std::size_t>(size)))
      return false;
  }
}

} // namespace

void prepare_output(const std::filesystem::path& out) {
  std::error_code error;
  if (std::filesystem::is_directory(out, error))
    cannot_write(out, EISDIR);
  const auto folder = out.has_parent_path() ? out.parent_path() : std::filesystem::path{"."};
  std::filesystem::create_directories(folder, error);
  if (error)
    cannot_write(folder, error.value());
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    cannot_write(folder, errno);
}

growing_output::growing_output(std::filesystem::path out) : out_(std::move(out)), part_(out_) {
  prepare_output(out_);
  part_ += ".part";
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0)
    cannot_write(part_, errno);
}

growing_output::~growing_output() {
  if (fd_ < 0)
    return;
  ::close(fd_);
  ::unlink(part_.c_str());
}

void growing_output::write(std::string_view bytes) {
  if (!write_all(fd_, bytes.data(), bytes.size()))
    cannot_write(out_, errno);
}

void growing_output::finish() {
  if (::fsync(fd_) != 0 || ::rename(part_.c_str(), out_.c_str()) != 0)
    cannot_write(out_, errno);
  ::close(std::exchange(fd_, -1));
}

void replace_output(const std::filesystem::path& from, const std::filesystem::path& out) {
  auto part = out;
  part += ".part";
  const descriptor source{::open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  if (source.fd < 0)
    throw command_error(exit_code::failed,
                        "cannot read " + from.string() + ": " + std::strerror(errno));
  const descriptor target{::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  if (target.fd < 0)
    cannot_write(part, errno);
  if (copy_all(source.fd, target.fd) && ::fsync(target.fd) == 0
      && ::rename(part.c_str(), out.c_str()) == 0)
    return;
  const int why = errno;
  ::unlink(part.c_str());
  cannot_write(out, why);
}

} // namespace troupe::cli
