#include "launcher/disk_space.hpp"

#include <sys/statvfs.h>

namespace troupe {

std::optional<disk_space> space_of(const std::filesystem::path& directory) {
  struct statvfs found {};
  if (::statvfs(directory.c_str(), &found) != 0)
    return std::nullopt;
  const std::uint64_t block = found.f_frsize;
  return disk_space{found.f_bavail * block, found.f_blocks * block};
}

} // namespace troupe
