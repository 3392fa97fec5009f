#include "db/retry.hpp"

#include "db/columns.hpp"

#include <cstdint>

namespace troupe::db {

std::optional<retry_policy> decode_retry(const row& from, int column) {
  const auto numbers = from.get<std::optional<std::vector<std::int64_t>>>(column);
  if (!numbers)
    return std::nullopt;
  const auto pause = [&](std::size_t i) { return std::chrono::milliseconds{numbers->at(i)}; };
  if (numbers->size() == 4 && numbers->front() == 1)
    return retry_policy::exponential({pause(1), pause(2), static_cast<int>(numbers->at(3))});
  if (numbers->empty() || numbers->front() != 2)
    throw decode_error("retry: the database names a policy unknown to this program");
  retry_policy::pauses pauses;
  for (std::size_t i = 1; i < numbers->size(); ++i)
    pauses.push_back(pause(i));
  return retry_policy::list(std::move(pauses));
}

} // namespace troupe::db
