// What the routes need from the rest of the engine, and the functions that fill the router table,
// one per group.
#pragma once

#include "http/limits.hpp"
#include "http/request_metrics.hpp"
#include "http/requester.hpp"
#include "http/router.hpp"
#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"
#include "messages/health.hpp"
#include "messages/job_export.hpp"
#include "messages/pool_bounds.hpp"
#include "messages/span.hpp"
#include "messages/stored_export.hpp"

#include <functional>
#include <memory>
#include <set>
#include <string>

namespace troupe::http {

class event_board;

/// Everything pointed to must outlive the server.
struct services {
  std::shared_ptr<requester> ask;
  export_port* exports = nullptr;               ///< none: there are no exports
  stored_export_port* stored_exports = nullptr; ///< none: none is kept
  const health_board* health = nullptr;
  engine_counters* counters = nullptr; ///< the server counts its own requests there
  const database_metrics* database = nullptr;
  pool_bounds pool = {};                     ///< of what those metrics are about
  span_sink* spans = nullptr;                ///< of requests; null: they make none
  const request_metrics* requests = nullptr; ///< the server's own; it sets them itself
  event_board* events = nullptr;             ///< likewise; none: there are no events
  bool require_tokens = false;               ///< routes that are not for anyone want one
  std::set<std::string> kinds; ///< what this node can run; others are refused where it serves
  std::function<bool(const std::string&)> serves; ///< whether it runs a queue; none: all
  std::string node;
  std::string version;
  std::string commit;        ///< that the program was built from; empty: not told
  std::string configuration; ///< of /api/v1/config: JSON, a Configuration; empty: nothing is shown
  /// While true, reads and probes are answered, changes get 503, and each answer ends its
  /// connection. None: never.
  std::function<bool()> draining;
};

/// All of them, as a server has them. `context` and `limits` must outlive the router, here and
/// below.
void add_all_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/jobs and below.
void add_job_routes(router& table, const services& context, const server_limits& limits);
/// Of these, the ones that put jobs in; add_job_routes calls it.
void add_enqueue_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/jobs/{id}/why; add_job_routes calls it.
void add_why_route(router& table, const services& context);
/// /api/v1/bulk and below, and the edit of one job.
void add_bulk_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/jobs/counts; add_job_routes calls it before a path with an id.
void add_counts_route(router& table, const services& context);
/// /api/v1/jobs.ndjson, .csv and .json.
void add_export_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/events.
void add_event_routes(router& table, const services& context);
/// /api/v1/exports and below: those that are kept.
void add_stored_export_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/tokens and below, and /api/v1/audit.
void add_token_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/queues and below.
void add_queue_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/work and below.
void add_work_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/nodes and below.
void add_node_routes(router& table, const services& context, const server_limits& limits);
/// /api/v1/retention and below.
void add_retention_routes(router& table, const services& context, const server_limits& limits);
/// What operators ask of this node and its database: /api/v1/config, pool, doctor.
void add_admin_routes(router& table, const services& context);
/// Probes, health, metrics, and the index at `/`.
void add_system_routes(router& table, const services& context, const server_limits& limits);
/// /openapi.json and /docs. The last: what it describes is what is in the table then. Throws
/// std::logic_error when a route names a schema that is not there.
void add_document_routes(router& table, const services& context);

} // namespace troupe::http
