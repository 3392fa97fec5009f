// What somebody may do. Each route names the role that it needs (http/router.hpp).
#pragma once

#include <cstdint>
#include <string_view>

namespace troupe {

enum class role : std::uint8_t {
  anyone,    ///< no caller is asked who it is
  viewer,    ///< reads
  producer,  ///< puts jobs in
  worker,    ///< runs jobs
  operator_, ///< steers jobs and queues
  admin,
};

constexpr std::string_view to_string(role value) {
  switch (value) {
  case role::anyone:
    return "anyone";
  case role::viewer:
    return "viewer";
  case role::producer:
    return "producer";
  case role::worker:
    return "worker";
  case role::operator_:
    return "operator";
  case role::admin:
    return "admin";
  }
  return "unknown";
}

} // namespace troupe
