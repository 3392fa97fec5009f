// The file that --out names: looked at before the work starts, and replaced whole at its end.
#pragma once

#include <filesystem>

namespace troupe::cli {

/// Makes the file's folder. Throws command_error when no file of that name can be written there.
void prepare_output(const std::filesystem::path& out);

/// Copies `from` beside `out` and renames it, so that a reader sees the old file or the whole new
/// one. Throws command_error.
void replace_output(const std::filesystem::path& from, const std::filesystem::path& out);

} // namespace troupe::cli
