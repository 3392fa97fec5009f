// The statements of an export of jobs: how it is planned, and the COPY that makes its text.
#pragma once

#include "db/query.hpp"
#include "messages/job_export.hpp"

#include <chrono>

namespace troupe::db {

/// How long the server may look for the next job that is wanted. A filter may have it pass by all.
inline constexpr std::chrono::minutes export_silence{10};

/// Goes before the other in the same transaction.
query export_plans_query();
/// Rows come as the export's text: of CSV with its header, of JSON each object ends with a newline,
/// and for an array each begins with a comma, the first one, too.
query export_query(const export_jobs& what);

} // namespace troupe::db
