// See json_unique.hpp. `args` comes as text: the guard passes every member of that name on unread.
#include "http/json_unique.hpp"

#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;

void read_fields(json_value& list, unique_rule& rule, const unique_fault& fail) {
  if (list.members.empty() || list.members.size() > limits::unique_fields)
    return fail("/args", "must be true, false or an array of 1 to "
                             + std::to_string(limits::unique_fields) + " names of fields");
  for (std::size_t i = 0; i < list.members.size(); ++i) {
    auto& field = list.members[i].value;
    if (field.type == kind::string && !field.text.empty()
        && field.text.size() <= limits::field_length)
      rule.fields.push_back(std::move(field.text));
    else
      fail("/args/" + std::to_string(i),
           "must be a string of 1 to " + std::to_string(limits::field_length) + " bytes");
  }
}

void read_args(const json_value& value, unique_rule& rule, const unique_fault& fail) {
  json_limits bounds;
  bounds.depth = 2;
  bounds.raw_bytes = 0;
  bounds.values = limits::unique_fields + 2;
  auto read = read_json(value.text, bounds);
  auto* args = std::get_if<json_value>(&read);
  if (args != nullptr && args->type == kind::boolean)
    rule.args = args->flag;
  else if (args != nullptr && args->type == kind::array)
    read_fields(*args, rule, fail);
  else
    fail("/args", "must be true, false or an array of 1 to " + std::to_string(limits::unique_fields)
                      + " names of fields");
}

void read_states(const json_value& value, unique_rule& rule, const unique_fault& fail) {
  constexpr std::string_view names =
      "pending, scheduled, available, running, retryable, completed, cancelled or discarded";
  if (value.type != kind::array || value.members.empty() || value.members.size() > 8)
    return fail("/states", "must be an array of 1 to 8 of " + std::string{names});
  for (std::size_t i = 0; i < value.members.size(); ++i) {
    const auto& name = value.members[i].value;
    const auto state = name.type == kind::string ? parse_job_state(name.text) : std::nullopt;
    if (state)
      rule.states.push_back(*state);
    else
      fail("/states/" + std::to_string(i), "must be " + std::string{names});
  }
}

void read_member(json_member& member, unique_rule& rule, const unique_fault& fail) {
  auto& [key, value] = member;
  if (key == "queue") {
    if (value.type != kind::boolean)
      return fail("/queue", "must be true or false");
    rule.queue = value.flag;
  } else if (key == "args") {
    read_args(value, rule, fail);
  } else if (key == "period_ms") {
    if (value.type != kind::integer || value.integer < 1
        || value.integer > limits::max_period.count())
      return fail("/period_ms",
                  "must be an integer from 1 to " + std::to_string(limits::max_period.count()));
    rule.period = std::chrono::milliseconds{value.integer};
  } else if (key == "states") {
    read_states(value, rule, fail);
  } else if (key == "on_conflict") {
    const auto how = value.type == kind::string ? parse_on_conflict(value.text) : std::nullopt;
    if (!how)
      return fail("/on_conflict", "must be reject, existing or replace");
    rule.conflict = *how;
  } else {
    std::string pointer;
    append_pointer(pointer, key);
    fail(std::move(pointer),
         "no such field; unique has queue, args, period_ms, states, on_conflict");
  }
}

} // namespace

unique_rule read_unique(json_value& value, const unique_fault& fail) {
  unique_rule rule;
  if (value.type != kind::object) {
    fail({}, "must be an object, such as {\"args\":true}");
    return rule;
  }
  for (auto& member : value.members)
    read_member(member, rule, fail);
  return rule;
}

} // namespace troupe::http
