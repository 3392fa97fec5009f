// See routes.hpp.
#include "http/routes.hpp"

namespace troupe::http {

void add_all_routes(router& table, const services& context, const server_limits& limits) {
  add_job_routes(table, context, limits);
  add_bulk_routes(table, context, limits);
  add_export_routes(table, context, limits);
  add_event_routes(table, context);
  add_stored_export_routes(table, context, limits);
  add_queue_routes(table, context, limits);
  add_node_routes(table, context, limits);
  add_work_routes(table, context, limits);
  add_token_routes(table, context, limits);
  add_retention_routes(table, context, limits);
  add_admin_routes(table, context);
  add_system_routes(table, context, limits);
  add_document_routes(table, context);
}

} // namespace troupe::http
