#include "messages/job_log.hpp"

namespace troupe {

std::string_view to_string(line_level level) {
  switch (level) {
  case line_level::debug:
    return "debug";
  case line_level::info:
    return "info";
  case line_level::warn:
    return "warn";
  case line_level::error:
    return "error";
  }
  return "unknown";
}

} // namespace troupe
