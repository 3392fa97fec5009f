// What the database side measured (messages/database_metrics.hpp), as families of Prometheus
// metrics. Asked by metrics_text. Labels are bounded: states, causes, classes of SQLSTATE, the
// statements' names, and the numbers of the pool's slots (as many as it has connections at most).
#pragma once

#include "http/families.hpp"
#include "messages/database_metrics.hpp"

namespace troupe::http {

void add_database_families(families& out, const database_metrics& metrics);

} // namespace troupe::http
