// The options of `troupe enqueue`.
#pragma once

#include "cli/options.hpp"
#include "messages/retry_policy.hpp"

#include <optional>

namespace CLI {
class App;
}

namespace troupe::cli {

void add_enqueue_options(CLI::App& app, enqueue_settings& job);
/// Throws std::invalid_argument with a sentence for what does not go together.
void check_enqueue(const enqueue_settings& job);
/// What --retry says; the same.
std::optional<retry_policy> retry_of(const enqueue_settings& job);

} // namespace troupe::cli
