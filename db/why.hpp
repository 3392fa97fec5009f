// The named statement that tells what holds a job. STORE is its only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/why.hpp"

namespace troupe::db {

/// Without such a job it fails as not found.
query why_query(const explain_job& ask);
job_hold decode_why(const result& rows);

} // namespace troupe::db
