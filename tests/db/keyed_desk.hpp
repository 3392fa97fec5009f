// A desk that enqueues unique jobs and requests with a key, and hears what became of each.
#pragma once

#include "tests/db/desk.hpp"

#include <ostream>

namespace troupe {

inline std::ostream& operator<<(std::ostream& out, enqueue_fate fate) {
  return out << "fate " << static_cast<int>(fate);
}
inline std::ostream& operator<<(std::ostream& out, key_use use) {
  return out << "use " << static_cast<int>(use);
}

} // namespace troupe

namespace troupe::tests {

inline enqueued_jobs put(desk& at, enqueue_jobs question) {
  return db::decode_enqueued(at.ask(db::enqueue_query(question, db::rejections::told)), question);
}

/// What became of one job, and its id or the one in its way.
struct fate_of {
  enqueue_fate fate;
  job_id id;
};
inline fate_of put(desk& at, job_spec job) {
  const auto all = put(at, enqueue_jobs{{std::move(job)}});
  return {all.fates.empty() ? enqueue_fate::created : all.fates.front(), all.ids.front()};
}

inline job_spec unique_job(on_conflict conflict = on_conflict::reject, std::string args = "{}") {
  return {.kind = "only", .args = std::move(args), .unique = unique_rule{.conflict = conflict}};
}

} // namespace troupe::tests
