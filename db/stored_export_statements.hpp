// The named statements of exports that are kept: values to query, rows to values.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/stored_export.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe::db {

query start_export_query(const export_order& order, const std::string& key,
                         const export_bounds& bounds);
started_export decode_started_export(const result& rows);

query exports_query(const list_exports& ask);
/// The one of this id.
query find_export_query(job_id id);
/// Has a `next` when it has so many.
export_page decode_exports(const result& rows, int limit);

query begin_export_query(job_id id, int attempt);
std::optional<export_order> decode_export_order(const result& rows);

query put_export_query(job_id id, int attempt, int nth, std::string_view bytes,
                       const export_bounds& bounds);
chunk_fate decode_chunk_fate(const result& rows);

query keep_export_query(job_id id, const stored_file& file, const export_bounds& bounds);

query read_export_query(job_id id, int attempt, std::int64_t from, int limit);
/// Nothing when they are not there.
std::optional<std::string> decode_export_bytes(const result& rows);

} // namespace troupe::db
