// Tokens as text for people, made from the server's JSON. Pure: strings in, strings out.
#pragma once

#include "cli/table.hpp"

#include <string>
#include <string_view>

namespace troupe::cli {

table tokens_table();
/// Adds the tokens of a page; command_error when it is none.
void add_tokens(table& to, std::string_view answer);
/// The one token of an answer as a table.
std::string token_details(std::string_view answer);
/// The secret in the answer that made a token; command_error when there is none.
std::string secret_of(std::string_view answer);

} // namespace troupe::cli
