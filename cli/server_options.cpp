// The commands that look at a server, at what it keeps beside jobs and for how long, see
// command_line.hpp.
#include "cli/command_line.hpp"
#include "cli/text.hpp"
#include "messages/retention.hpp"

#include <stdexcept>

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
  add_retention();
  auto* audit = app_.add_subcommand("audit", "Look up who has changed what");
  audit->require_subcommand(1);
  auto* lists = add(*audit, command::audit_list, "list", "Changes, newest first");
  lists->alias("ls");
  add_length(*lists, out_.list);
  add_client(lists);
}

void command_line::add_retention() {
  auto* retention = app_.add_subcommand("retention", "See and change how long what is kept");
  retention->require_subcommand(1);
  add_client(add(*retention, command::retention_show, "show",
                 "How long what is kept, and how far the cleaning has come")
                 ->alias("get"));
  auto* set = add(*retention, command::retention_set, "set",
                  "Change how long jobs that have ended are kept, of all queues or only of some");
  set->add_option("queue", out_.ids, "Queues; without one, all that have no ages of their own");
  for (const auto& [flag, text, end] : {std::tuple{"--completed", &completed_age_, "Completed"},
                                        std::tuple{"--cancelled", &cancelled_age_, "Cancelled"},
                                        std::tuple{"--discarded", &discarded_age_, "Discarded"}})
    set->add_option(flag, *text,
                    std::string{end}
                        + " ones: a time from their ends, such as 12h or 30d; or forever");
  add_client(set);
  auto* reset = add(*retention, command::retention_reset, "reset",
                    "Keep the jobs of queues as long as those of all others");
  reset->add_option("queue", out_.ids, "The queue's name")->required();
  add_client(reset);
  for (auto* app : {set, reset})
    app->add_flag("--yes", out_.yes, "Also what makes an age shorter: jobs are gone sooner");
}

void command_line::finish_retention_set() {
  check_names(out_.ids);
  std::string body;
  for (const auto& [option, name, text] :
       {std::tuple{"--completed", "completed_ms", completed_age_},
        std::tuple{"--cancelled", "cancelled_ms", cancelled_age_},
        std::tuple{"--discarded", "discarded_ms", discarded_age_}}) {
    if (text.empty())
      continue;
    std::string age = "null";
    if (text != "forever")
      try {
        if (text != "0" && text.find_first_not_of("0123456789") == std::string::npos)
          throw std::invalid_argument("of what? Write a number with its unit, such as " + text
                                      + "d");
        const auto read = read_duration(text);
        if (read > limits::longest_age_of_jobs)
          throw std::invalid_argument("at most 3650d, or forever");
        age = std::to_string(read.count());
      } catch (const std::invalid_argument& wrong) {
        throw std::invalid_argument(option + std::string{": "} + wrong.what());
      }
    body += (body.empty() ? "\"" : ",\"") + std::string{name} + "\":" + age;
  }
  if (body.empty())
    throw std::invalid_argument("give --completed, --cancelled or --discarded");
  out_.patch = "{" + body + "}";
}

} // namespace troupe::cli
