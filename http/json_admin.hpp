// What operators are told of a node and its database, as JSON.
#pragma once

#include "messages/counters.hpp"
#include "messages/database_metrics.hpp"
#include "messages/doctor.hpp"
#include "messages/pool_bounds.hpp"
#include "messages/retention.hpp"
#include "messages/stored_export.hpp"

#include <string>

namespace troupe::http {

/// Those of the pool that are up, with what finds them on the server (pg_stat_activity).
void append_connections(std::string& out, const database_metrics& metrics);
std::string pool_json(const database_metrics& metrics, const engine_counters& counters,
                      const pool_bounds& bounds);
/// The ages of one queue, `queue` null for those of all others.
void append_ages(std::string& out, const job_ages& ages);
std::string retention_json(const retention_record& kept, const export_bounds& exports);
std::string doctor_json(const doctor_report& report);

} // namespace troupe::http
