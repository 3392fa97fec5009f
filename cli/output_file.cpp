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

/// What is there and is no file of its own, such as /dev/stdout, a pipe or a device: a file in its
/// place would take it away from everybody.
bool is_special(const std::filesystem::path& out) {
  std::error_code error;
  const auto status = std::filesystem::status(out, error);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
}

/// Where a link leads, so that what is replaced is the file and not the link.
std::filesystem::path followed(std::filesystem::path out) {
  std::error_code error;
  if (std::filesystem::is_symlink(out, error))
    if (auto target = std::filesystem::canonical(out, error); !error)
      return target;
  return out;
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

} // namespace

void prepare_output(const std::filesystem::path& out) {
  std::error_code error;
  if (std::filesystem::is_directory(out, error))
    cannot_write(out, EISDIR);
  if (is_special(out))
    return;
  const auto folder = out.has_parent_path() ? out.parent_path() : std::filesystem::path{"."};
  if (!std::filesystem::is_directory(folder, error))
    throw command_error(exit_code::usage, "--out: there is no folder " + folder.string()
                                              + "; make it first, or name another file");
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    cannot_write(folder, errno);
}

growing_output::growing_output(const std::filesystem::path& out)
    : out_(followed(out)), part_(out_), special_(is_special(out_)) {
  prepare_output(out_);
  if (!special_)
    part_ += ".part";
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CLOEXEC | (special_ ? 0 : O_CREAT | O_TRUNC), 0666);
  if (fd_ < 0)
    cannot_write(part_, errno);
}

growing_output::~growing_output() {
  if (fd_ < 0)
    return;
  ::close(fd_);
  if (!special_)
    ::unlink(part_.c_str());
}

void growing_output::write(std::string_view bytes) {
  if (!write_all(fd_, bytes.data(), bytes.size()))
    cannot_write(out_, errno);
}

void growing_output::finish() {
  if (!special_ && (::fsync(fd_) != 0 || ::rename(part_.c_str(), out_.c_str()) != 0))
    cannot_write(out_, errno);
  ::close(std::exchange(fd_, -1));
}

void replace_output(const std::filesystem::path& from, const std::filesystem::path& out) {
  const auto cannot_read = [&] {
    throw command_error(exit_code::failed,
                        "cannot read " + from.string() + ": " + std::strerror(errno));
  };
  const descriptor source{::open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  if (source.fd < 0)
    cannot_read();
  growing_output target(out);
  std::vector<char> buffer(chunk);
  for (;;) {
    const auto size = ::read(source.fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR)
      continue;
    if (size < 0)
      cannot_read();
    if (size == 0)
      break;
    target.write({buffer.data(), static_cast<std::size_t>(size)});
  }
  target.finish();
}

} // namespace troupe::cli
