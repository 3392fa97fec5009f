#include "launcher/blocking_session.hpp"

#include "messages/log.hpp"

#include <mutex>
#include <set>
#include <utility>

namespace troupe::detail {

namespace {

/// Places that are remembered; what is called from further ones is not warned of.
constexpr std::size_t max_places = 10'000;

} // namespace

void note_blocking_call(const call_site& where) {
  require_blocking_thread(std::string{"blocking_session ("} + where.file + ":"
                          + std::to_string(where.line) + ")");
  static std::mutex guard;
  static std::set<std::pair<std::string, unsigned>> seen;
  {
    const std::lock_guard lock(guard);
    if (seen.size() >= max_places || !seen.emplace(where.file, where.line).second)
      return;
  }
  log::warn("blocking_session", std::string{where.file} + ":" + std::to_string(where.line) + " in "
                                    + where.function
                                    + " holds a thread while the database works; use a session");
}

} // namespace troupe::detail
