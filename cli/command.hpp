// What the program can be asked to do: one of these for each command that does something.
#pragma once

#include <cstdint>

namespace troupe::cli {

enum class command : std::uint8_t {
  dev,
  serve,
  migrate,
  enqueue,
  jobs_list,
  jobs_get,
  jobs_logs,
  jobs_why,
  jobs_watch,
  jobs_counts,
  jobs_cancel,
  jobs_retry,
  jobs_delete,
  jobs_edit,
  jobs_bulk,
  export_jobs,
  exports_list,
  exports_get,
  exports_delete,
  queues_list,
  queues_show,
  queues_pause,
  queues_resume,
  queues_drain,
  queues_limit,
  nodes_list,
  nodes_show,
  nodes_drain,
  nodes_resume,
  nodes_quiet,
  nodes_terminate,
  tokens_create,
  tokens_list,
  tokens_revoke,
  scrape,
  top,
  health,
  pool,
  retention_show,
  retention_set,
  retention_reset,
  audit_list,
  bench_drain,
  bench_enqueue,
  bench_latency,
  doctor,
  config_show,
  completion,
  man,
  version, ///< the last one
};

} // namespace troupe::cli
