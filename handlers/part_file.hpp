// A file that appears under its name only when it is complete: written as NAME.part, made durable,
// then renamed. Dropped unfinished, it removes what it wrote. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace troupe {

class part_file {
public:
  /// Creates NAME.part anew, mode 0600. Throws std::system_error, as do the others.
  explicit part_file(std::filesystem::path name);
  ~part_file();
  part_file(const part_file&) = delete;
  part_file& operator=(const part_file&) = delete;

  /// The text waits in a buffer of 64 KiB.
  void write(std::string_view text);
  /// Flushes, syncs and renames, and syncs the folder.
  void finish();
  std::size_t bytes() const { return bytes_; }

private:
  void flush();
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path name_;
  std::filesystem::path part_;
  int fd_ = -1;
  std::string buffer_;
  std::size_t bytes_ = 0;
};

} // namespace troupe
