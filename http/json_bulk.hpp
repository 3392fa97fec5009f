// Operations on many jobs from JSON, with a pointer to every field at fault, and to JSON.
#pragma once

#include "http/problem.hpp"
#include "messages/bulk.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace troupe::http {

struct bulk_question {
  bulk_request what;
  bool dry_run = false;
};

/// `{"action":..., "filter":{...} or "ids":[...], "to":{...}, "dry_run":true}`, or a 400 with every
/// field at fault. What is missing for an action is told, too; an empty filter is refused.
std::variant<bulk_question, problem> read_bulk(std::string_view body);

void append_bulk(std::string& out, const bulk_record& operation);
std::string preview_json(const bulk_preview& preview);

} // namespace troupe::http
