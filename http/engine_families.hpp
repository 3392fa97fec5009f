// What runs, queues and requests came to, as families of Prometheus metrics. Asked by metrics_text.
#pragma once

#include "http/families.hpp"
#include "http/request_metrics.hpp"
#include "messages/counters.hpp"

namespace troupe::http {

/// Runs and slots of this node, and queues and tables as they were read last.
void add_engine_families(families& out, const engine_counters& counters);
void add_request_families(families& out, const request_metrics& requests);

} // namespace troupe::http
