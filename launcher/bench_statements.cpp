#include "launcher/bench_statements.hpp"

#include "db/statements.hpp"

namespace troupe {

std::int64_t wal_written(engine& node) {
  return node.run_transaction([](session& work) {
    return work.query(db::query{db::sql::bench_wal}).get().one<std::int64_t>();
  });
}

ended_jobs count_ended(engine& node, const std::string& queue, job_id first,
                       std::chrono::milliseconds limit) {
  return node.run_transaction([&](session& work) {
    auto ask = db::query{db::sql::bench_ended}.bind(queue).bind(first);
    const auto [jobs, once] =
        work.query(ask.timeout(limit)).get().one<std::int64_t, std::int64_t>();
    return ended_jobs{jobs, once};
  });
}

job_id enqueue_by_sql(engine& node, const job_spec& job) {
  return node.run_transaction([&](session& work) {
    auto ask =
        db::query{db::sql::bench_enqueue}.bind(job.kind).bind_jsonb(job.args).bind(job.queue);
    return job_id{work.query(ask.bind(job.max_attempts)).get().one<std::int64_t>()};
  });
}

} // namespace troupe
