// The named statements of workers by HTTP. Values to query, rows to values; STORE is their only
// user.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/work.hpp"

namespace troupe::db {

query join_worker_query(const join_worker& ask);
joined_worker decode_joined_worker(const result& rows);

query claim_queue_query(const claim_queue& ask);
claimed_work decode_claimed_work(const result& rows, const claim_queue& asked);

query finish_work_query(const finish_work& ask);
finished_work decode_finished_work(const result& rows);

query beat_worker_query(const beat_worker& ask);
work_pulse decode_work_pulse(const result& rows);

query report_work_query(const report_work& ask);
reported_work decode_reported_work(const result& rows);

query leave_worker_query(const leave_worker& ask);
left_worker decode_left_worker(const result& rows);

query steer_worker_query(const steer_worker& ask);
steered_worker decode_steered_worker(const result& rows);

} // namespace troupe::db
