// What the routes about jobs answer with: the engine's replies as responses.
#pragma once

#include "http/fields.hpp"
#include "http/message.hpp"
#include "messages/requests.hpp"

#include <string_view>

namespace troupe::http {

/// What every reply may be besides what was hoped for.
response unexpected(const api_reply& reply);
/// The path names no job.
response not_a_job(std::string_view id);
/// With its attempts; a new one with its place.
response render_job(int status, const job_record& job, chosen_fields wanted = {});

} // namespace troupe::http
