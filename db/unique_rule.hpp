// A unique rule as the database takes it: JSON text. Asked by the statements that enqueue.
#pragma once

#include "messages/job.hpp"

#include <string>

namespace troupe::db {

/// What is not said is left out, so that equal rules have equal texts.
std::string unique_json(const unique_rule& rule);

} // namespace troupe::db
