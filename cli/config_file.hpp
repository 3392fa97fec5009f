// The configuration file: tables, keys and values of TOML, as far as options need them (texts,
// numbers, true and false, lists of those; one line per value but for lists). Strict: what is not
// understood is an error with its line. Pure but for read_config_file.
#pragma once

#include <string>
#include <vector>

namespace troupe::cli {

struct config_entry {
  std::string key;                 ///< with its table: "database.url"
  std::vector<std::string> values; ///< one, unless it is a list
  int line = 0;
};

/// Throws std::invalid_argument, "line 3: ...".
std::vector<config_entry> read_config(const std::string& text);

/// At most 1 MiB. Throws std::invalid_argument that names the file.
std::vector<config_entry> read_config_file(const std::string& path);

} // namespace troupe::cli
