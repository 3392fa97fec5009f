// The files of http/schemas and http/pages, which are built into the program
// (cmake/EmbedFiles.cmake).
#pragma once

#include <span>
#include <string_view>

namespace troupe::http {

struct embedded_file {
  std::string_view name; ///< without its directory
  std::string_view text;
};

std::span<const embedded_file> embedded_files();

} // namespace troupe::http
