// The options of `troupe jobs bulk` and `troupe jobs edit`, and the requests that they make. Pure.
#pragma once

#include "cli/options.hpp"

namespace CLI {
class App;
}

namespace troupe::cli {

void add_bulk_options(CLI::App& app, bulk_settings& bulk);
void add_edit_options(CLI::App& app, edit_settings& edit);
/// Throws std::invalid_argument with a sentence for what does not go together.
void check_bulk(const bulk_settings& bulk);
void check_edit(const edit_settings& edit);
/// Whether it was said that it shall be done: --yes, or for what is gone afterwards, of a filter,
/// --confirm with the word of confirmation().
bool is_confirmed(const bulk_settings& bulk);
/// What says so, as one would type it.
std::string confirmation(const bulk_settings& bulk);
/// The body of POST /api/v1/bulk.
std::string bulk_body(const bulk_settings& bulk, bool dry_run);
/// The body of PATCH /api/v1/jobs/{id}.
std::string edit_body(const edit_settings& edit);

} // namespace troupe::cli
