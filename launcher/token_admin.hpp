// Bearer tokens without asking a server by HTTP: straight on a database, which is how the first one
// is made, and for the node of this process. Whoever can do this can do anything anyway.
#pragma once

#include "launcher/engine.hpp"
#include "launcher/engine_options.hpp"
#include "messages/token.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// These three use the database of the options, block, and give the JSON that the API would. They
/// throw engine_error.
std::string create_token_in(const engine_options& where, create_token what);
std::string list_tokens_of(const engine_options& where, const list_tokens& what);
std::string revoke_token_in(const engine_options& where, std::int64_t id);

/// Afterwards the file, which only its owner may read, holds a live admin's token of the engine's
/// database: the one that is there, or a new one. It is replaced whole. Throws engine_error.
void keep_token_file(engine& node, const std::filesystem::path& file);

} // namespace troupe
