// How much room a directory's file system has left. Asked by the engine for HEALTH MONITOR.
#pragma once

#include "messages/health.hpp"

#include <filesystem>
#include <optional>

namespace troupe {

/// What users other than root may still take; nothing when the directory is not there.
std::optional<disk_space> space_of(const std::filesystem::path& directory);

} // namespace troupe
