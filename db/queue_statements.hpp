// The named statements about queues: values to query, rows to values. STORE is their only user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/requests.hpp"

#include <optional>

namespace troupe::db {

query queue_query(const std::string& name);
std::optional<queue_record> decode_queue(const result& rows);
query queues_query(const list_queues& ask);
queue_page decode_queues(const result& rows, const list_queues& asked);
query counts_query(const get_counts& ask);
counts_page decode_counts(const result& rows, const get_counts& asked);
query pause_query(const pause_queue& ask);
query limit_query(const limit_queue& ask);

} // namespace troupe::db
