#include "cli/bulk_options.hpp"

#include "cli/choice.hpp"
#include "cli/filter_options.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"
#include "messages/bulk.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <charconv>
#include <stdexcept>

namespace troupe::cli {

namespace {

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// An object, member by member.
struct object_text {
  void raw(const std::string& name, const std::string& json) {
    out += (out.empty() ? "\"" : ",\"") + name + "\":" + json;
  }
  void text(const std::string& name, const std::optional<std::string>& value) {
    if (value)
      raw(name, json_string(*value));
  }
  std::string take() const { return "{" + out + "}"; }
  std::string out;
};

bool is_about_one(const bulk_settings& bulk) {
  return bulk.action == "show" || bulk.action == "stop";
}

/// What is deleted by a filter is typed once more: nothing brings it back.
std::optional<std::string> word_to_type(const bulk_settings& bulk) {
  if (bulk.action != "delete" || !bulk.ids.empty())
    return std::nullopt;
  return bulk.queue.value_or("all");
}

} // namespace

void add_bulk_options(CLI::App& app, bulk_settings& bulk) {
  app.add_option("action", bulk.action, "What to do to jobs; or list, show or stop operations")
      ->required()
      ->transform([](const std::string& word) {
        return word == "get" ? "show" : word == "ls" ? "list" : word;
      })
      ->check(
          one_of({"cancel", "retry", "delete", "move", "reprioritise", "list", "show", "stop"}));
  app.add_option("id", bulk.ids, "Numbers of jobs in place of a filter; of the operation")
      ->expected(0, static_cast<int>(limits::bulk_ids));
  add_filter_options(app, bulk);
  app.add_option("--created-after", bulk.created_from, "The same as --created-from");
  app.add_flag("--all", bulk.all, "Every job that the action can change");
  app.add_option("--to-queue", bulk.to_queue, "move: where to");
  app.add_option("--to-priority", bulk.to_priority, "reprioritise, and move: 0 to 9; 0 runs first")
      ->check(CLI::Range(0, limits::max_priority));
  auto* dry = app.add_flag("--dry-run", bulk.dry_run, "Only say how many jobs it would meet");
  auto* yes = app.add_flag("--yes", bulk.yes, "Do it")->excludes(dry);
  app.add_option("--confirm", bulk.confirm,
                 "delete by a filter: the queue whose jobs go, or all when it names none; in place "
                 "of --yes")
      ->excludes(dry)
      ->excludes(yes);
}

bool is_confirmed(const bulk_settings& bulk) {
  const auto word = word_to_type(bulk);
  return word ? bulk.confirm == word : bulk.yes;
}

std::string confirmation(const bulk_settings& bulk) {
  const auto word = word_to_type(bulk);
  return word ? "--confirm " + *word : "--yes";
}

void add_edit_options(CLI::App& app, edit_settings& edit) {
  app.add_option("--args", edit.args, "JSON for the job");
  app.add_option("--queue", edit.queue, "Another queue");
  app.add_option("--priority", edit.priority, "0 to 9; 0 runs first");
  app.add_option("--max-attempts", edit.max_attempts, "Attempts before the job is discarded");
  app.add_option("--timeout-ms", edit.timeout_ms, "Limit of one attempt: a number, or none");
  auto* tags = app.add_option("--tag", edit.tags, "A tag; together in place of all (repeatable)");
  tags->expected(1)->take_all()->allow_extra_args(false);
  app.add_flag("--no-tags", edit.no_tags, "Without tags")->excludes(tags);
  app.add_option("--run-at", edit.run_at, "Run not before this time; or now");
}

void check_bulk(const bulk_settings& bulk) {
  const bool filtered = is_given(bulk) || bulk.all;
  for (const auto& id : bulk.ids)
    read_job_id(id);
  check_filter(bulk);
  if (bulk.action == "list" || is_about_one(bulk)) {
    if (filtered || bulk.to_queue || bulk.to_priority || bulk.dry_run || bulk.yes || bulk.confirm
        || bulk.ids.size() != (is_about_one(bulk) ? 1U : 0U))
      throw std::invalid_argument(bulk.action == "list"
                                      ? "list takes nothing further"
                                      : bulk.action + " takes the number of one operation");
    return;
  }
  const auto action = parse_bulk_action(bulk.action);
  if (!action)
    throw std::invalid_argument("'" + printable(bulk.action)
                                + "' is none of cancel, retry, delete, move, reprioritise, list, "
                                  "show, stop");
  if (filtered == !bulk.ids.empty())
    throw std::invalid_argument(filtered ? "give a filter or the numbers of jobs, not both"
                                         : "which jobs? Give a filter such as --queue, the numbers "
                                           "of jobs, or --all");
  if ((*action == bulk_action::move) != bulk.to_queue.has_value())
    throw std::invalid_argument(bulk.to_queue ? "--to-queue goes with move"
                                              : "move needs --to-queue");
  if (bulk.confirm && bulk.confirm != word_to_type(bulk))
    throw std::invalid_argument(
        word_to_type(bulk) ? "--confirm '" + printable(*bulk.confirm)
                                 + "' is not what would be deleted: that is " + confirmation(bulk)
                           : "--confirm goes with delete by a filter; all else is done "
                             "with --yes");
  if (*action == bulk_action::reprioritise && !bulk.to_priority)
    throw std::invalid_argument("reprioritise needs --to-priority");
  if (*action == bulk_action::retry && bulk.ids.empty() && !bulk.state)
    throw std::invalid_argument("retry needs --state: what has completed would be run again, too");
}

void check_edit(const edit_settings& edit) {
  if (edit.args && !nlohmann::json::accept(*edit.args))
    throw std::invalid_argument("--args is not JSON; for example --args '{\"ms\":100}'");
  if (edit.timeout_ms && *edit.timeout_ms != "none") {
    std::int64_t number = 0;
    const auto& text = *edit.timeout_ms;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc{} || end != text.data() + text.size() || number < 1)
      throw std::invalid_argument("--timeout-ms: '" + printable(text)
                                  + "' is neither a number of milliseconds nor none");
  }
  if (edit_body(edit) == "{}")
    throw std::invalid_argument("nothing to change; give --args, --queue, --priority, "
                                "--max-attempts, --timeout-ms, --tag, --no-tags or --run-at");
}

std::string bulk_body(const bulk_settings& bulk, bool dry_run) {
  object_text body, to;
  body.text("action", bulk.action);
  if (bulk.ids.empty()) {
    auto filter = filter_members(bulk);
    if (bulk.all)
      filter += filter.empty() ? R"("all":true)" : R"(,"all":true)";
    body.raw("filter", "{" + filter + "}");
  } else {
    std::string ids;
    for (const auto& id : bulk.ids)
      ids += (ids.empty() ? "" : ",") + json_string(id);
    body.raw("ids", "[" + ids + "]");
  }
  to.text("queue", bulk.to_queue);
  if (bulk.to_priority)
    to.raw("priority", std::to_string(*bulk.to_priority));
  if (!to.out.empty())
    body.raw("to", to.take());
  if (dry_run)
    body.raw("dry_run", "true");
  return body.take();
}

std::string edit_body(const edit_settings& edit) {
  object_text body;
  if (edit.args) // as it is: a parser would round its numbers
    body.raw("args", *edit.args);
  body.text("queue", edit.queue);
  if (edit.priority)
    body.raw("priority", std::to_string(*edit.priority));
  if (edit.max_attempts)
    body.raw("max_attempts", std::to_string(*edit.max_attempts));
  if (edit.timeout_ms)
    body.raw("timeout_ms", *edit.timeout_ms == "none" ? "null" : *edit.timeout_ms);
  if (!edit.tags.empty() || edit.no_tags) {
    std::string tags;
    for (const auto& tag : edit.tags)
      tags += (tags.empty() ? "" : ",") + json_string(tag);
    body.raw("tags", "[" + tags + "]");
  }
  if (edit.run_at)
    body.raw("run_at", *edit.run_at == "now" ? "null" : json_string(*edit.run_at));
  return body.take();
}

} // namespace troupe::cli
