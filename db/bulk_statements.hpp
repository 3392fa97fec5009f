// The named statements about operations on many jobs, and about the edit of one: values to query,
// rows to values. STORE is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/bulk.hpp"

#include <optional>

namespace troupe::db {

/// What was begun, or before, with the same key; 0 when the key is another request's.
struct started_bulk {
  std::int64_t id = 0;
  key_use use = key_use::none;
};
query start_bulk_query(const start_bulk& ask);
started_bulk decode_started_bulk(const result& rows);
query preview_bulk_query(const preview_bulk& ask);
bulk_preview decode_bulk_preview(const result& rows);
query bulk_query(std::int64_t id);
std::optional<bulk_record> decode_bulk(const result& rows);
query bulks_query(const list_bulks& ask);
bulk_page decode_bulks(const result& rows, const list_bulks& asked);
query cancel_bulk_query(std::int64_t id, const asker& by = {});
query step_bulk_query();
/// The same with fewer jobs.
query step_bulk_query(int jobs);
stepped_bulk decode_stepped(const result& rows);
query edit_query(const edit_job& ask);

} // namespace troupe::db
