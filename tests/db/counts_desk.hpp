// What troupe.counts tells beside what is there, for the tests of counts.
#pragma once

#include "tests/db/keyed_desk.hpp"

#include <cstdlib>
#include <string>

namespace troupe::tests {

/// Where the counts differ from the jobs, both of one snapshot; empty when nowhere.
inline const std::string wrong_counts = R"(
  select coalesce(string_agg(queue || ' ' || state || ': ' || told || ' told, ' || real || ' there', '; '
                             order by queue, state), '')
    from (select x.queue, x.state, sum(x.told) as told, sum(x.real) as real
            from (select c.queue, s.state, s.told, 0 as real
                    from troupe.counts() c cross join lateral (values
                      ('scheduled', c.scheduled), ('available', c.available), ('running', c.running),
                      ('retryable', c.retryable), ('completed', c.completed), ('cancelled', c.cancelled),
                      ('discarded', c.discarded)) s(state, told)
                  union all
                  select j.queue, j.state, 0, count(*) from troupe.jobs j group by j.queue, j.state) x
           group by x.queue, x.state having sum(x.told) <> sum(x.real)) y)";

inline timestamp in_an_hour() {
  return std::chrono::time_point_cast<timestamp::duration>(std::chrono::system_clock::now())
         + std::chrono::hours{1};
}

inline unsigned first_seed() {
  const char* given = std::getenv("TROUPE_SEED"); // NOLINT(concurrency-mt-unsafe)
  return given ? static_cast<unsigned>(std::atoi(given)) : 1;
}

} // namespace troupe::tests
