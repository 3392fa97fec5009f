// The named statements about how long what is kept. STORE is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/retention.hpp"

namespace troupe::db {

query retention_query();
retention_record decode_retention(const result& rows);

query change_ages_query(const change_ages& ask);
query forget_ages_query(const forget_ages& ask);
job_ages decode_ages(const result& rows);

} // namespace troupe::db
