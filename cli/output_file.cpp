#include "cli/output_file.hpp"

#include "cli/exit_code.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>
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
bool copy_all(int from, int to) {
  std::vector<char> buffer(chunk);
  while (true) {
    const auto size = ::read(from, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR)
      continue;
    if (size <= 0)
      return size == 0;
    for (ssize_t written = 0; written < size;) {
      const auto step =
          ::write(to, buffer.data() + written, static_cast<std::size_t>(size - written));
      if (step < 0 && errno != EINTR)
        return false;
      written += step > 0 ? step : 0;
    }
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
