// What `troupe bench` asks the database beside what any engine does. All of them block, need a
// started engine and throw engine_error.
#pragma once

#include "launcher/engine.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace troupe {

/// Bytes of WAL that the server has written by now, other programs' included.
std::int64_t wal_written(engine& node);

struct ended_jobs {
  std::int64_t jobs = 0;
  std::int64_t once = 0; ///< of these ran once, and completed
};
/// The jobs of a queue with this id and later ones. The server may take `limit` for it.
ended_jobs count_ended(engine& node, const std::string& queue, job_id first,
                       std::chrono::milliseconds limit);

/// By troupe.enqueue in a transaction; answered after its commit. Of the job's fields kind, queue,
/// args and max_attempts are taken.
job_id enqueue_by_sql(engine& node, const job_spec& job);

} // namespace troupe
