// What operators ask of this node and its database: its settings, its connections, how long what is
// kept, and whether the database is well.
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

/// Asks the engine, and writes the answer of the kind that is hoped for.
template<class Reply, class Ask, class Write>
route_handler asking(const services& context, Ask question, Write write) {
  return [&context, question, write](const request_view&, responder respond) {
    context.ask->ask(question, [respond = std::move(respond), write](const api_reply& reply) {
      const auto* hoped = std::get_if<Reply>(&reply);
      respond(hoped != nullptr ? json_response(200, write(*hoped)) : unexpected(reply));
    });
  };
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
  get("/api/v1/retention", role::viewer,
      {"getRetention", "node", "See how long what is kept, and how far the cleaning has come"},
      "Retention", asking<retention_record>(context, get_retention{}, [](const auto& kept) {
        return retention_json(kept, export_bounds{});
      }));
  get("/api/v1/doctor", role::operator_,
      {"askDoctor", "node", "Look the database over and say what to do",
       "As `troupe doctor`, through this node's own connections. 200 whatever is found."},
      "DoctorReport", asking<doctor_report>(context, ask_doctor{}, doctor_json));
}

} // namespace troupe::http
