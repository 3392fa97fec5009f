#include "http/json_bulk.hpp"

#include "http/filter_fields.hpp"
#include "http/json.hpp"
#include "http/json_guard.hpp"
#include "http/json_members.hpp"
#include "http/router.hpp"
#include "http/time_format.hpp"

#include <algorithm>
#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;

constexpr std::size_t reported_errors = 20;
constexpr std::string_view name_rule = "must be a string of 1 to 128 characters from A-Za-z0-9._:-";

class bulk_reader {
public:
  bulk_question read(json_value& root);
  std::vector<field_error> errors;

private:
  void fail(std::string pointer, std::string detail) {
    if (errors.size() < reported_errors)
      errors.push_back({std::move(pointer), std::move(detail)});
  }
  static std::string below(std::string base, std::string_view key) {
    append_pointer(base, key);
    return base;
  }
  std::optional<std::string> name(json_value& value, const std::string& at) {
    if (value.type == kind::string && is_valid_name(value.text))
      return std::move(value.text);
    fail(at, std::string{name_rule});
    return std::nullopt;
  }
  void read_filter(json_value& value);
  void read_ids(const json_value& value);
  void read_to(json_value& value);
  void check(bool filtered);

  bulk_question out_;
  bool acts_ = false; ///< the action is known
};

void bulk_reader::read_filter(json_value& value) {
  if (value.type != kind::object)
    return fail("/filter", "must be an object");
  auto& what = out_.what;
  const auto note = [this](std::string pointer, std::string detail) {
    fail(std::move(pointer), std::move(detail));
  };
  for (auto& [key, part] : value.members) {
    const auto at = below("/filter", key);
    if (key == "all") {
      what.all = part.type == kind::boolean && part.flag;
      if (!what.all)
        fail(at, "must be true, or be left out");
    } else if (key == "tag") { // one of `tags`, as this route took it first
      json_value only;
      only.type = kind::array;
      only.members.push_back({{}, std::move(part)});
      http::read_filter("tags", only, at, what.filter,
                        [&](const std::string&, const std::string& detail) { note(at, detail); });
    } else if (key == "created_after") { // the same of `created_from`
      http::read_filter("created_from", part, at, what.filter, note);
    } else if (!http::read_filter(key, part, at, what.filter, note)) {
      fail(at, "no such field; a filter has " + std::string{filter_members} + ", all");
    }
  }
  const auto has = [&](std::string_view name) {
    return std::any_of(value.members.begin(), value.members.end(),
                       [&](const auto& member) { return member.key == name; });
  };
  if (has("tag") && has("tags"))
    fail("/filter/tag", "must be left out where tags is given");
  if (has("created_after") && has("created_from"))
    fail("/filter/created_after", "must be left out where created_from is given");
  if (value.members.empty())
    fail("/filter", "must not be empty; {\"all\":true} means every job");
}

void bulk_reader::read_ids(const json_value& value) {
  if (value.type != kind::array || value.members.empty() || value.members.size() > limits::bulk_ids)
    return fail("/ids", "must be an array of 1 to " + std::to_string(limits::bulk_ids) + " ids");
  for (std::size_t i = 0; i < value.members.size(); ++i) {
    const auto& id = value.members[i].value;
    auto found = id.type == kind::string ? parse_id(id.text) : std::nullopt;
    if (id.type == kind::integer && id.integer > 0)
      found = job_id{id.integer};
    if (found)
      out_.what.ids.push_back(*found);
    else
      fail("/ids/" + std::to_string(i), "must be the id of a job");
  }
}

void bulk_reader::read_to(json_value& value) {
  if (value.type != kind::object)
    return fail("/to", "must be an object");
  for (auto& [key, part] : value.members) {
    const auto at = below("/to", key);
    if (key == "queue")
      out_.what.to_queue = name(part, at);
    else if (key == "priority" && part.type == kind::integer && part.integer >= 0
             && part.integer <= limits::max_priority)
      out_.what.to_priority = static_cast<int>(part.integer);
    else if (key == "priority")
      fail(at, "must be an integer from 0 to " + std::to_string(limits::max_priority));
    else
      fail(at, "no such field; to has queue, priority");
  }
}

/// Whether an action changes jobs in this state, as the database has it (troupe.bulk_states).
bool changes_in(bulk_action action, job_state state) {
  switch (state) {
  case job_state::pending:
    return false;
  case job_state::scheduled:
  case job_state::retryable:
    return true;
  case job_state::available:
    return action != bulk_action::retry;
  case job_state::running:
    return action == bulk_action::cancel;
  case job_state::completed:
  case job_state::cancelled:
  case job_state::discarded:
    break;
  }
  return action == bulk_action::retry || action == bulk_action::remove;
}

/// What each action needs and takes.
void bulk_reader::check(bool filtered) {
  const auto& what = out_.what;
  const bool moves = what.action == bulk_action::move;
  const bool ranks = moves || what.action == bulk_action::reprioritise;
  if (filtered == !what.ids.empty())
    fail("", filtered ? "give filter or ids, not both" : "filter or ids is required");
  if (moves && !what.to_queue)
    fail("/to/queue", "is required for move");
  if (!moves && what.to_queue)
    fail("/to/queue", "goes with move only");
  if (ranks && !moves && !what.to_priority)
    fail("/to/priority", "is required for reprioritise");
  if (!ranks && what.to_priority)
    fail("/to/priority", "goes with move and reprioritise only");
  if (what.action == bulk_action::retry && what.ids.empty() && !what.filter.state)
    fail("/filter/state", "is required for retry: what has completed would be run again, too");
  if (what.filter.state && !changes_in(what.action, *what.filter.state))
    fail("/filter/state",
         "must be one in which a job can be changed by " + std::string{to_string(what.action)});
}

bulk_question bulk_reader::read(json_value& root) {
  bool filtered = false;
  if (root.type != kind::object) {
    fail("", "must be an object");
    return std::move(out_);
  }
  for (auto& [key, value] : root.members) {
    if (key == "action") {
      const auto action = value.type == kind::string ? parse_bulk_action(value.text) : std::nullopt;
      acts_ = action.has_value();
      out_.what.action = action.value_or(bulk_action::cancel);
    } else if (key == "filter") {
      filtered = true;
      read_filter(value);
    } else if (key == "ids") {
      read_ids(value);
    } else if (key == "to") {
      read_to(value);
    } else if (key == "dry_run") {
      out_.dry_run = value.type == kind::boolean && value.flag;
      if (value.type != kind::boolean)
        fail("/dry_run", "must be true or false");
    } else {
      fail(below("", key), "no such field; a bulk operation has action, filter, ids, to, dry_run");
    }
  }
  if (!acts_)
    fail("/action", "must be cancel, retry, delete, move or reprioritise");
  if (errors.empty())
    check(filtered);
  return std::move(out_);
}

} // namespace

std::variant<bulk_question, problem> read_bulk(std::string_view body) {
  json_limits most;
  most.depth = limits::filter_args_depth;
  most.values = limits::bulk_ids + 64;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  bulk_reader reader;
  auto question = reader.read(std::get<json_value>(document));
  if (!reader.errors.empty())
    return invalid_fields(std::move(reader.errors));
  return question;
}

void append_bulk(std::string& out, const bulk_record& operation) {
  out += "{\"id\":\"" + std::to_string(operation.id) + "\",\"action\":";
  append_json_string(out, operation.action);
  out += ",\"state\":";
  append_json_string(out, operation.state);
  out += ",\"filter\":";
  out += operation.ids > 0 ? "null" : operation.filter;
  out += ",\"ids\":" + (operation.ids > 0 ? std::to_string(operation.ids) : "null");
  out += ",\"to\":";
  if (operation.to_queue || operation.to_priority) {
    out += "{\"queue\":";
    if (operation.to_queue)
      append_json_string(out, *operation.to_queue);
    else
      out += "null";
    out += ",\"priority\":"
           + (operation.to_priority ? std::to_string(*operation.to_priority) : "null") + '}';
  } else {
    out += "null";
  }
  append_number(out, "matched", operation.matched);
  append_number(out, "changed", operation.changed);
  append_number(out, "skipped", operation.skipped);
  out += ",\"reached\":\"" + std::to_string(operation.reached) + "\",\"up_to\":\""
         + std::to_string(operation.up_to) + '"';
  out += ",\"created_by\":";
  append_json_string(out, operation.created_by);
  out += ",\"created_at\":\"" + format_time(operation.created_at) + "\",\"ended_at\":";
  append_time_or_null(out, operation.ended_at);
  append_number(out, "failures", operation.failures);
  out += ",\"error\":";
  if (operation.error.empty())
    out += "null";
  else
    append_json_string(out, operation.error);
  out += '}';
}

std::string preview_json(const bulk_preview& preview) {
  std::string out = "{\"matched\":" + std::to_string(preview.matched);
  out += preview.more ? ",\"more\":true" : ",\"more\":false";
  out += ",\"sample\":[";
  for (const auto id : preview.sample) {
    out += out.back() == '[' ? "\"" : ",\"";
    out += std::to_string(id.value) + '"';
  }
  return out + "]}";
}

} // namespace troupe::http
