// Tokens from JSON and to JSON. The secret is in one answer only: that of the request that made it.
#pragma once

#include "http/problem.hpp"
#include "messages/token.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace troupe::http {

/// `{"name":...}` to what is asked for, but hint and hash; or a 400 with every field at fault.
std::variant<create_token, problem> read_token(std::string_view body);

void append_token(std::string& out, const token_record& token);
/// With its secret.
std::string made_token_json(const token_record& token, const std::string& secret);
std::string tokens_json(const token_page& page);

} // namespace troupe::http
