// What routes of several groups answer and read in the same way.
#pragma once

#include "http/identity.hpp"
#include "http/message.hpp"
#include "http/problem.hpp"
#include "messages/job.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace troupe::http {

/// A query's parameter is at fault.
response wrong_parameter(std::string name, std::string detail);
/// The query cannot be read: an escape that is none, a text that is no UTF-8, or a name that comes
/// twice.
response malformed_query();
/// A name as queues and kinds have them, in words.
inline constexpr std::string_view name_form = "1 to 128 characters from A-Za-z0-9._:-";
/// `text` as a page's size into `limit`; or what is wrong with it.
std::optional<response> read_page_size(std::string_view text, int most, int& limit);
/// 403: the token of that name is not for this queue.
response outside_scope(std::string_view token, std::string_view queue);
/// 403 when the queue is the engine's own, as all are whose names begin with `troupe.`: nobody else
/// puts a job into one, moves one there or claims from one. The database says the same to SQL.
std::optional<problem> own_queue(std::string_view queue);
/// What is wrong when `who` puts this job in: nobody puts one into a queue of the engine's own, and
/// a token that is for some queues puts jobs into these only. A unique key that another queue's job
/// may have would show that job, or change it.
std::optional<problem> beyond_scope(const token_identity* who, const job_spec& job);
/// The request's Idempotency-Key, as it is stored, empty without one; a 400 for what cannot be one.
std::variant<std::string, response> read_idempotency_key(const request_view& request);
/// 422: the key is another request's.
response reused_key();

} // namespace troupe::http
