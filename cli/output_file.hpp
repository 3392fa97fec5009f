// The file that --out names: looked at before the work starts, and replaced whole at its end. What
// is there and is no file of its own (a pipe, a device, /dev/stdout) is written to as it is.
#pragma once

#include <filesystem>
#include <string_view>

namespace troupe::cli {

/// Throws command_error when no file of that name can be written: a folder that is not there is a
/// word that was mistyped more often than one that is to be made.
void prepare_output(const std::filesystem::path& out);

/// Copies `from` beside `out` and renames it, so that a reader sees the old file or the whole new
/// one. Throws command_error.
void replace_output(const std::filesystem::path& from, const std::filesystem::path& out);

/// A file that is written bit by bit beside `out`, and renamed when it is whole. Gone before that,
/// it leaves nothing. Throws command_error.
class growing_output {
public:
  explicit growing_output(const std::filesystem::path& out);
  ~growing_output();
  growing_output(const growing_output&) = delete;
  growing_output& operator=(const growing_output&) = delete;

  void write(std::string_view bytes);
  void finish();

private:
  std::filesystem::path out_;
  std::filesystem::path part_;
  bool special_;
  int fd_ = -1;
};

} // namespace troupe::cli
