// The named statements about jobs, as functions: values to query, rows to values. STORE is their
// only user. A decode throws decode_error when a statement and this file disagree.
#pragma once

#include "db/query.hpp"
#include "db/result.hpp"
#include "messages/claims.hpp"
#include "messages/engine_requests.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe::db {

/// A job that is rejected because of its unique key: the statement fails, and with it the
/// transaction; or it is told, and nothing of its part is stored.
enum class rejections : std::uint8_t { raised, told };
/// A plain statement for jobs without keys, which costs nothing for those that have some.
/// Idempotency keys are heeded only where rejections are told.
query enqueue_query(const enqueue_jobs& ask, rejections how = rejections::raised);
/// `asked` gives what the rows do not repeat: which queues have work at once.
enqueued_jobs decode_enqueued(const result& rows, const enqueue_jobs& asked);

query enqueue_here_query(const enqueue_here& ask);
enqueued_here decode_enqueued_here(const result& rows, const enqueue_here& ask);

query job_query(const get_job& ask);
/// Empty when there is no such job. The attempt that runs now, if any, comes last.
std::optional<job_record> decode_job(const result& rows);
query attempts_query(job_id id);
/// Puts the ended attempts before the running one.
void decode_attempts(const result& rows, job_record& into);
/// The same for several jobs.
query jobs_query(const get_jobs& ask);
/// Those that there are, in no order.
std::vector<job_record> decode_jobs(const result& rows);
query attempts_query(const std::vector<job_id>& ids);
void decode_attempts(const result& rows, std::vector<job_record>& into);

/// A page ends early once its args have so many bytes, long before an answer is too large to read
/// (connect_options::max_result_bytes): it holds at most one job's args more.
constexpr std::int64_t page_args_bytes = 16LL * 1024 * 1024;
query list_query(const list_jobs& ask);
/// Has a `next` when the page is full or ended early, or a search has not seen all.
job_page decode_list(const result& rows, const list_jobs& asked);

query cancel_query(job_id id, const asker& by = {});
query retry_query(job_id id, const asker& by = {});
query delete_query(job_id id, const asker& by = {});

/// An array literal, as in '{"a","b c"}'.
std::string array_literal(const std::vector<std::string>& texts);

} // namespace troupe::db
