// A directory of a test's own below /tmp, gone afterwards. Short, because sockets live in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

namespace troupe::tests {

class temp_dir {
public:
  temp_dir() {
    std::string name = "/tmp/troupe-XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  ~temp_dir() {
    std::error_code left; // what a failed test left behind is not this one's failure
    std::filesystem::remove_all(path_, left);
  }
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace troupe::tests
