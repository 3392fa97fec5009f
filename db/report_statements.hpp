// The named statements about what runs say, as functions. STORE is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/requests.hpp"
#include "messages/run_reports.hpp"

namespace troupe::db {

/// The eleven parameters of troupe.record_reports.
void bind_reports(query& q, const record_reports& ask);
query report_query(const record_reports& ask);
recorded_reports decode_reported(const result& rows);

query log_query(const get_log& ask);
/// Has a `next` when the page is full.
log_page decode_log(const result& rows, const get_log& asked);

query watch_query(const watch_jobs& ask);
job_sights decode_sights(const result& rows);

} // namespace troupe::db
