// Many jobs in one request, each stored or refused by itself.
#pragma once

#include "http/message.hpp"
#include "http/routes.hpp"

#include <string>

namespace troupe::http {

/// Answers 200 with what became of each. With a key each job has one of its own, made from it and
/// the job's place.
void enqueue_apart(const services& context, const server_limits& limits,
                   const request_view& request, const std::string& key, responder respond);

} // namespace troupe::http
