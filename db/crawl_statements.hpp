// The named statements about crawls, pages and items. Values to query, rows to values; CRAWL STORE
// is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/engine_requests.hpp"

namespace troupe::db {

query open_crawl_query(const open_crawl& ask);
query crawl_spec_query(job_id crawl);
/// Empty when there is no such crawl.
std::optional<crawl_spec> decode_crawl_spec(const result& rows);
query record_query(const record_pages& ask);
/// True when new page jobs were queued.
bool decode_recorded(const result& rows);
query progress_query(const std::vector<job_id>& crawls);
std::vector<crawl_progress> decode_progress(const result& rows);
query reconcile_query(job_id crawl);
query close_query(job_id crawl);
query items_query(const list_items& ask);
item_page decode_items(const result& rows);

} // namespace troupe::db
