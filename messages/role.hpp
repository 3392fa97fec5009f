// What somebody may do. Each route names the role that it needs (http/router.hpp); who has which
// role may call it is said here and nowhere else.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
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

/// Those that a token can have.
constexpr std::array<role, 5> token_roles{role::viewer, role::producer, role::worker,
                                          role::operator_, role::admin};

constexpr std::optional<role> parse_role(std::string_view name) {
  for (const auto each : token_roles)
    if (to_string(each) == name)
      return each;
  return std::nullopt;
}

/// Whether somebody with the role `has` may do what needs the role `needed`. Everybody reads:
/// who puts a job in wants to see what became of it, and is shown another one where that has its
/// unique key. Who steers may put in, too. Workers and operators are not each other.
constexpr bool allows(role has, role needed) {
  switch (needed) {
  case role::anyone:
    return true;
  case role::viewer:
    return has != role::anyone;
  case role::producer:
    return has == role::producer || has == role::operator_ || has == role::admin;
  case role::worker:
  case role::operator_:
  case role::admin:
    break;
  }
  return has == needed || has == role::admin;
}

} // namespace troupe
