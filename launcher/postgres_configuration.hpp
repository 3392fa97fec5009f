// The settings of the private PostgreSQL, as the text of a file that postgresql.conf includes.
#pragma once

#include <filesystem>
#include <string>

namespace troupe {

std::string postgres_configuration(const std::filesystem::path& socket_directory);

} // namespace troupe
