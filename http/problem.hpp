// Errors as clients see them: application/problem+json (RFC 9457) with a stable `code`, and JSON
// Pointers to the fields at fault.
#pragma once

#include "messages/errc.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

struct field_error {
  std::string pointer; ///< RFC 6901; empty: the whole document
  std::string detail;
};

struct problem {
  int status = 500;
  std::string code; ///< for programs; `type` is made from it
  std::string detail;
  bool retryable = false; ///< the same request may succeed later
  int retry_after = 0;    ///< seconds; 0: not said
  std::vector<field_error> errors;
  std::string existing_id = {}; ///< the job in the way; empty: none, and no such member
};

problem make_problem(int status, std::string_view code, std::string detail);
/// 400 about these fields; the first one's sentence becomes the detail.
problem invalid_fields(std::vector<field_error> errors);

/// errors.cpp: the one place where an errc becomes a status.
problem to_problem(const failure& failed);

/// `title` is the status' reason phrase.
std::string to_json(const problem& fault, std::string_view title, std::string_view instance,
                    std::string_view request_id);

/// Appends a JSON string. What is not UTF-8 in it becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

} // namespace troupe::http
