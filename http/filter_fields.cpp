#include "http/filter_fields.hpp"

#include "http/json_members.hpp"
#include "http/problem.hpp"
#include "http/route_answers.hpp"
#include "http/time_format.hpp"
#include "messages/utf8.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;

/// What is wrong with a value; nothing when it is in the filter.
using fault_text = std::optional<std::string>;

fault_text bytes_fault(std::string_view value, std::size_t most) {
  if (!value.empty() && value.size() <= most && is_clean_utf8(value))
    return std::nullopt;
  return "must be a string of 1 to " + std::to_string(most) + " bytes of UTF-8";
}

fault_text read_state(std::string& value, job_filter& into) {
  into.state = parse_job_state(value);
  if (into.state)
    return std::nullopt;
  return "must be pending, scheduled, available, running, retryable, completed, cancelled or "
         "discarded";
}

template<std::optional<std::string> job_filter::*Field>
fault_text read_name(std::string& value, job_filter& into) {
  if (!is_valid_name(value))
    return "must be " + std::string{name_form};
  into.*Field = std::move(value);
  return std::nullopt;
}

fault_text read_limit_key(std::string& value, job_filter& into) {
  auto fault = bytes_fault(value, limits::limit_key_length);
  if (!fault)
    into.limit_key = std::move(value);
  return fault;
}

fault_text read_tag(std::string& value, job_filter& into) {
  if (into.tags.size() == limits::filter_tags)
    return "there may be " + std::to_string(limits::filter_tags) + " of them at most";
  auto fault = bytes_fault(value, limits::tag_length);
  if (!fault)
    into.tags.push_back(std::move(value));
  return fault;
}

template<std::optional<timestamp> job_filter::*Field>
fault_text read_time(std::string& value, job_filter& into) {
  using namespace std::chrono;
  const auto time = parse_time(value);
  // What PostgreSQL writes and reads without a word such as BC.
  if (!time || *time < sys_days{year{1} / 1 / 1} || *time >= sys_days{year{10'000} / 1 / 1})
    return "must be an RFC 3339 time with its zone, such as 2030-01-31T08:00:00Z";
  into.*Field = *time;
  return std::nullopt;
}

/// `json` as the guard wrote it.
fault_text read_args(std::string& json, job_filter& into) {
  if (!json.starts_with('{') || json == "{}" || json.size() > limits::filter_args_bytes)
    return "must be a JSON object with at least one member, in at most "
           + std::to_string(limits::filter_args_bytes) + " bytes";
  into.args = std::move(json);
  return std::nullopt;
}

fault_text read_args_text(std::string_view text, job_filter& into) {
  json_limits most;
  most.depth = limits::filter_args_depth;
  most.raw_bytes = limits::filter_args_bytes;
  auto document =
      read_json("{\"" + std::string{most.raw_key} + "\":" + std::string{text} + "}", most);
  if (const auto* error = std::get_if<json_error>(&document))
    return "is not JSON that can be asked for: " + error->detail;
  auto& members = std::get<json_value>(document).members;
  if (members.size() != 1) // the text closed the object around it
    return "is not one JSON value";
  return read_args(members.front().value.text, into);
}

struct text_field {
  std::string_view name;
  fault_text (*read)(std::string& value, job_filter& into);
};
constexpr std::array<text_field, 7> text_fields{
    {{"state", read_state},
     {"queue", read_name<&job_filter::queue>},
     {"kind", read_name<&job_filter::kind>},
     {"tag", read_tag},
     {"limit_key", read_limit_key},
     {"created_from", read_time<&job_filter::created_from>},
     {"created_before", read_time<&job_filter::created_before>}}};

const text_field* find_text(std::string_view name) {
  const auto* found = std::find_if(text_fields.begin(), text_fields.end(),
                                   [&](const auto& field) { return field.name == name; });
  return found == text_fields.end() ? nullptr : found;
}

fault_text read_text(const text_field& field, json_value& value, job_filter& into) {
  std::string none; // which no field takes
  return field.read(value.type == kind::string ? value.text : none, into);
}

} // namespace

bool read_filter(std::string_view name, std::string& value, job_filter& filter,
                 std::optional<response>& fault) {
  const auto* field = find_text(name);
  if (field == nullptr && name != "args")
    return false;
  if (auto why = field != nullptr ? field->read(value, filter) : read_args_text(value, filter))
    fault = wrong_parameter(std::string{name}, *std::move(why));
  return true;
}

bool read_filter(std::string_view name, json_value& value, const std::string& at,
                 job_filter& filter,
                 const std::function<void(std::string pointer, std::string detail)>& fail) {
  const auto note = [&](const std::string& where, fault_text why) {
    if (why)
      fail(where, *std::move(why));
  };
  if (name == "tags") {
    if (value.type != kind::array || value.members.empty()
        || value.members.size() > limits::filter_tags)
      fail(at, "must be an array of 1 to " + std::to_string(limits::filter_tags) + " strings");
    else
      for (std::size_t i = 0; i < value.members.size(); ++i)
        note(at + '/' + std::to_string(i),
             read_text(*find_text("tag"), value.members[i].value, filter));
  } else if (name == "args") {
    note(at, read_args(value.text, filter));
  } else if (const auto* field = find_text(name); field != nullptr && name != "tag") {
    note(at, read_text(*field, value, filter));
  } else {
    return false;
  }
  return true;
}

void append_filter(std::string& out, const job_filter& filter, std::string_view state_name) {
  append_text_or_null(out, state_name, filter.state ? to_string(*filter.state) : "");
  append_text_or_null(out, "queue", filter.queue.value_or(""));
  append_text_or_null(out, "kind", filter.kind.value_or(""));
  append_name(out, "tags");
  if (filter.tags.empty())
    out += "null";
  for (std::size_t i = 0; i < filter.tags.size(); ++i) {
    out += i == 0 ? '[' : ',';
    append_json_string(out, filter.tags[i]);
  }
  if (!filter.tags.empty())
    out += ']';
  append_text_or_null(out, "limit_key", filter.limit_key.value_or(""));
  append_time_of(out, "created_from", filter.created_from);
  append_time_of(out, "created_before", filter.created_before);
  append_name(out, "args");
  out += filter.args.empty() ? "null" : filter.args;
}

} // namespace troupe::http
