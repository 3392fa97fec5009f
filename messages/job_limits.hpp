// The lengths and ranges that a job, and what its runs say, must keep. http checks them with a
// pointer to the field; the database checks them again, for callers that come by SQL.
#pragma once

#include <chrono>
#include <cstddef>

namespace troupe::limits {

constexpr std::size_t name_length = 128; ///< queue and kind: [A-Za-z0-9._:-]{1,128}
constexpr std::size_t args_bytes = 1024 * 1024;
constexpr int args_depth = 64;
constexpr int max_priority = 9; ///< 0 runs first
constexpr int max_attempts = 1000;
constexpr std::size_t tags = 32;
constexpr std::size_t tag_length = 255;
constexpr std::size_t limit_key_length = 128;
constexpr std::chrono::milliseconds max_timeout{std::chrono::hours{24 * 7}};
constexpr std::chrono::hours max_delay{24 * 3650}; ///< run_at at most ten years away
constexpr std::size_t retry_pauses = 32;           ///< in a job's list of them
constexpr std::size_t result_bytes = 1024 * 1024;
constexpr std::size_t error_bytes = 16 * 1024;  ///< longer texts are cut
constexpr std::size_t bulk_jobs = 10'000;       ///< jobs in one enqueue request
constexpr std::size_t page_size = 500;          ///< jobs in one page
constexpr std::size_t filter_tags = 10;         ///< that a filter of jobs may ask for
constexpr std::size_t filter_args_bytes = 2048; ///< of a filter's args, written without spaces
constexpr int filter_args_depth = 8;
constexpr int page_looks = 10'000; ///< jobs that a page of a search looks at, see docs/searches.md
/// And for so long; what one look at 1 MiB of args takes is in nobody's hands.
constexpr std::chrono::milliseconds page_look_time{1000};
constexpr std::size_t unique_fields = 32; ///< of args that a unique key is made from
constexpr std::size_t field_length = 255;
constexpr std::chrono::milliseconds max_period = max_delay;
constexpr std::size_t key_length = 255;        ///< of an idempotency key
constexpr std::size_t message_bytes = 1000;    ///< of a progress; longer ones are cut
constexpr std::size_t line_bytes = 8 * 1024;   ///< of a log; longer ones are cut
constexpr std::size_t log_lines = 10'000;      ///< of one attempt; further ones are left out
constexpr std::size_t log_bytes = 1024 * 1024; ///< the same
constexpr std::size_t log_page = 1000;         ///< lines in one page

} // namespace troupe::limits
