// The named statement about how long what is kept. STORE is its only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/retention.hpp"

namespace troupe::db {

query retention_query();
retention_record decode_retention(const result& rows);

} // namespace troupe::db
