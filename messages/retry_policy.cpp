#include "messages/retry_policy.hpp"

namespace troupe {

std::string to_json(const retry_policy& policy) {
  if (const auto* doubling = std::get_if<backoff>(&policy.how()))
    return R"({"policy":"exponential","base_ms":)" + std::to_string(doubling->base.count())
           + R"(,"max_ms":)" + std::to_string(doubling->cap.count()) + R"(,"jitter_percent":)"
           + std::to_string(doubling->jitter_percent) + '}';
  const auto& pauses = std::get<retry_policy::pauses>(policy.how());
  if (pauses.empty())
    return R"({"policy":"none"})";
  if (pauses.size() == 1)
    return R"({"policy":"fixed","delay_ms":)" + std::to_string(pauses.front().count()) + '}';
  std::string out = R"({"policy":"list","delays_ms":)";
  char before = '[';
  for (const auto pause : pauses) {
    out += before;
    out += std::to_string(pause.count());
    before = ',';
  }
  return out + "]}";
}

} // namespace troupe
