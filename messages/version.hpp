// The program's version, as `troupe version`, the User-Agent and /metrics show it. CMake checks
// that it is the project's.
#pragma once

namespace troupe {

inline constexpr const char* version = "0.1.0";

} // namespace troupe
