// What operators ask of this node and its database: its settings, its connections, and whether the
// database is well.
#include "http/job_answers.hpp"
#include "http/json_admin.hpp"
#include "http/routes.hpp"

#include <utility>

namespace troupe::http {

namespace {

response configuration(const services& context) {
  const auto& told = context.configuration;
  return json_response(200, told.empty() ? R"({"settings":[]})" : told);
}

response pool(const services& context) {
  static const database_metrics nothing_measured;
  static const engine_counters nothing_counted;
  return json_response(200,
                       pool_json(context.database != nullptr ? *context.database : nothing_measured,
                                 context.counters != nullptr ? *context.counters : nothing_counted,
                                 context.pool));
}

void doctor(const services& context, responder respond) {
  context.ask->ask(ask_doctor{}, [respond = std::move(respond)](const api_reply& reply) {
    const auto* report = std::get_if<doctor_report>(&reply);
    respond(report != nullptr ? json_response(200, doctor_json(*report)) : unexpected(reply));
  });
}

} // namespace

void add_admin_routes(router& table, const services& context) {
  const auto get = [&](std::string_view path, role who, operation what, std::string_view schema,
                       route_handler handle) {
    table.add({.verb = method::get,
               .pattern = path,
               .role = who,
               .what = what,
               .answers = {{200, schema}},
               .handle = std::move(handle)});
  };
  get("/api/v1/config", role::admin,
      {"getConfiguration", "node", "See the settings this node was started with",
       "With where each comes from; those that are secret are hidden."},
      "Configuration", [&context](const request_view&, const responder& respond) {
        respond(configuration(context));
      });
  get("/api/v1/pool", role::operator_,
      {"getPool", "node", "See this node's connections to the database"}, "Pool",
      [&context](const request_view&, const responder& respond) { respond(pool(context)); });
  get("/api/v1/doctor", role::operator_,
      {"askDoctor", "node", "Look the database over and say what to do",
       "As `troupe doctor`, through this node's own connections. 200 whatever is found."},
      "DoctorReport",
      [&context](const request_view&, responder respond) { doctor(context, std::move(respond)); });
}

} // namespace troupe::http
