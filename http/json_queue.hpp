// A queue as JSON.
#pragma once

#include "http/fields.hpp"
#include "messages/queue.hpp"

#include <span>
#include <string>
#include <string_view>

namespace troupe::http {

/// Of its members what is wanted.
void append_queue(std::string& out, const queue_record& queue, chosen_fields wanted = {});
/// Their names in their order, as chosen_fields counts them.
std::span<const std::string_view> queue_fields();

} // namespace troupe::http
