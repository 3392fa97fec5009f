// The commands that look at a server and at what it keeps beside jobs, see command_line.hpp.
#include "cli/command_line.hpp"

namespace troupe::cli {

namespace {

/// As of jobs list.
void add_length(CLI::App& app, list_settings& list) {
  auto* limit = app.add_option("--limit", list.limit, "At most so many")
                    ->check(CLI::Range(1, 1'000'000'000))
                    ->capture_default_str();
  app.add_flag("--all", list.all, "Every one that there is")->excludes(limit);
}

} // namespace

void command_line::add_exports() {
  auto* exports = app_.add_subcommand("exports", "Look at the exports that a server keeps");
  exports->require_subcommand(1);
  auto* lists = add(*exports, command::exports_list, "list", "Exports, newest first");
  lists->alias("ls");
  lists->add_option("--queue", out_.list.queue, "Only of this queue");
  add_length(*lists, out_.list);
  add_client(lists);
  const auto about = [&](command what, const char* name, const char* description) {
    auto* app = add(*exports, what, name, description);
    app->add_option("id", out_.ids, "The export's number")->required();
    add_client(app);
    return app;
  };
  about(command::exports_get, "get", "How far exports are, and their files")->alias("show");
  about(command::exports_delete, "delete", "Delete exports with their files");
}

void command_line::add_server() {
  auto* health =
      add(app_, command::health, "health", "Ask a server whether it lives; exit 1 when it says no");
  health->add_flag("--ready", out_.ready, "Whether requests should come to it");
  add_client(health);
  add_client(add(app_, command::pool, "pool", "A node's connections to the database"));
  add_client(add(app_, command::retention, "retention",
                 "How long what is kept, and how far the cleaning has come"));
  auto* audit = app_.add_subcommand("audit", "Look up who has changed what");
  audit->require_subcommand(1);
  auto* lists = add(*audit, command::audit_list, "list", "Changes, newest first");
  lists->alias("ls");
  add_length(*lists, out_.list);
  add_client(lists);
}

} // namespace troupe::cli
