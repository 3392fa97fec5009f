// See json.hpp: the reading half. A checked getter per field; nothing is converted that does not
// fit.
#include "http/json.hpp"
#include "http/json_guard.hpp"
#include "http/json_retry.hpp"
#include "http/json_unique.hpp"
#include "http/time_format.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::http {

namespace {

constexpr std::size_t reported_errors = 20;
constexpr std::size_t reported_of_one = 5; ///< of thousands
constexpr std::size_t listed_kinds = 50;
constexpr std::size_t fields_per_job = 64; // and of its parts
using kind = json_value::kind;

/// Reads one job object; collects errors instead of stopping at the first.
class job_reader {
public:
  job_reader(const job_rules& rules, std::string base, std::vector<field_error>& errors,
             std::size_t most = reported_errors)
      : rules_(rules), base_(std::move(base)), errors_(errors), most_(most) {}

  job_spec read(json_value& value);
  edit_job read_changes(json_value& value);

private:
  void fail(std::string_view field, std::string detail) {
    if (errors_.size() >= most_)
      return;
    auto pointer = base_;
    if (!field.empty())
      append_pointer(pointer, field);
    errors_.push_back({std::move(pointer), std::move(detail)});
  }

  std::function<void(std::string, std::string)> faults_below(std::string_view field) {
    return [this, at = base_ + std::string{field}](const std::string& below, std::string detail) {
      if (errors_.size() < most_)
        errors_.push_back({at + below, std::move(detail)});
    };
  }

  void read_field(json_member& member, job_spec& spec);
  void read_kind(json_value& value, job_spec& spec);
  void read_queue(json_value& value, job_spec& spec);
  void read_tags(json_value& value, job_spec& spec);
  void read_limit_key(json_value& value, job_spec& spec);
  void read_run_at(const json_value& value, job_spec& spec);
  std::optional<std::int64_t> integer(std::string_view field, const json_value& value,
                                      std::int64_t least, std::int64_t most);

  const job_rules& rules_;
  bool judges_kinds_ = true;
  std::string base_;
  std::vector<field_error>& errors_;
  std::size_t most_;
};

std::optional<std::int64_t> job_reader::integer(std::string_view field, const json_value& value,
                                                std::int64_t least, std::int64_t most) {
  if (value.type == kind::integer && value.integer >= least && value.integer <= most)
    return value.integer;
  fail(field, "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return std::nullopt;
}

std::string known_kinds(const std::set<std::string>& kinds) {
  std::string out;
  std::size_t count = 0;
  for (const auto& name : kinds) {
    if (count++ == listed_kinds)
      return out + ", ...";
    out += count == 1 ? name : ", " + name;
  }
  return out.empty() ? "none" : out;
}

constexpr std::string_view name_rule = "must be a string of 1 to 128 characters from A-Za-z0-9._:-";

void job_reader::read_kind(json_value& value, job_spec& spec) {
  if (value.type != kind::string || !is_valid_name(value.text))
    fail("kind", std::string{name_rule});
  else if (judges_kinds_ && !rules_.kinds.contains(value.text))
    fail("kind", "no such kind: " + value.text + "; known: " + known_kinds(rules_.kinds));
  else
    spec.kind = std::move(value.text);
}

void job_reader::read_queue(json_value& value, job_spec& spec) {
  if (value.type != kind::string || !is_valid_name(value.text))
    fail("queue", std::string{name_rule});
  else
    spec.queue = std::move(value.text);
}

void job_reader::read_tags(json_value& value, job_spec& spec) {
  if (value.type != kind::array || value.members.size() > limits::tags) {
    fail("tags", "must be an array of at most " + std::to_string(limits::tags) + " strings");
    return;
  }
  for (std::size_t i = 0; i < value.members.size(); ++i) {
    auto& tag = value.members[i].value;
    if (tag.type == kind::string && !tag.text.empty() && tag.text.size() <= limits::tag_length) {
      spec.tags.push_back(std::move(tag.text));
      continue;
    }
    const auto outer = base_;
    append_pointer(base_, "tags");
    fail(std::to_string(i),
         "must be a string of 1 to " + std::to_string(limits::tag_length) + " bytes");
    base_ = outer;
  }
}

void job_reader::read_limit_key(json_value& value, job_spec& spec) {
  if (value.type == kind::null) // as answers show "none"
    return;
  if (value.type != kind::string || value.text.empty()
      || value.text.size() > limits::limit_key_length)
    fail("limit_key",
         "must be a string of 1 to " + std::to_string(limits::limit_key_length) + " bytes");
  else
    spec.limit_key = std::move(value.text);
}

void job_reader::read_run_at(const json_value& value, job_spec& spec) {
  const auto time = value.type == kind::string ? parse_time(value.text) : std::nullopt;
  if (!time)
    fail("run_at", "must be an RFC 3339 time such as 2030-01-31T08:00:00Z");
  else if (*time > rules_.now + limits::max_delay || *time < rules_.now - limits::max_delay)
    fail("run_at", "must lie within ten years from now");
  else
    spec.run_at = time;
}

void job_reader::read_field(json_member& member, job_spec& spec) {
  auto& [key, value] = member;
  if (key == "kind") {
    read_kind(value, spec);
  } else if (key == "args") {
    spec.args = std::move(value.text);
  } else if (key == "queue") {
    read_queue(value, spec);
  } else if (key == "priority") {
    spec.priority = static_cast<int>(integer(key, value, 0, limits::max_priority).value_or(0));
  } else if (key == "max_attempts") {
    spec.max_attempts = static_cast<int>(integer(key, value, 1, limits::max_attempts).value_or(1));
  } else if (key == "timeout_ms") {
    if (value.type == kind::null) // as answers show "no timeout"
      return;
    if (const auto ms = integer(key, value, 1, limits::max_timeout.count()))
      spec.timeout = std::chrono::milliseconds{*ms};
  } else if (key == "tags") {
    read_tags(value, spec);
  } else if (key == "run_at") {
    read_run_at(value, spec);
  } else if (key == "delay_ms") {
    constexpr std::chrono::milliseconds most = limits::max_delay;
    if (const auto ms = integer(key, value, 0, most.count()))
      spec.delay = std::chrono::milliseconds{*ms};
  } else if (key == "limit_key") {
    read_limit_key(value, spec);
  } else if (key == "retry") {
    spec.retry = read_retry(value, faults_below("/retry"));
  } else if (key == "unique") {
    spec.unique = read_unique(value, faults_below("/unique"));
  } else {
    fail(key, "no such field; a job has kind, queue, args, priority, max_attempts, timeout_ms, "
              "tags, run_at, delay_ms, limit_key, retry, unique");
  }
}

job_spec job_reader::read(json_value& value) {
  job_spec spec;
  if (value.type != kind::object) {
    fail({}, "a job must be an object");
    return spec;
  }
  const auto has = [&](std::string_view key) {
    return std::any_of(value.members.begin(), value.members.end(),
                       [&](const auto& m) { return m.key == key; });
  };
  if (!has("kind"))
    fail("kind", "is required; known: " + known_kinds(rules_.kinds));
  if (has("run_at") && has("delay_ms"))
    fail("delay_ms", "give run_at or delay_ms, not both");
  if (rules_.serves) {
    const auto queue = std::find_if(value.members.begin(), value.members.end(),
                                    [](const auto& m) { return m.key == "queue"; });
    judges_kinds_ = rules_.serves(queue != value.members.end() ? queue->value.text : spec.queue);
  }
  for (auto& member : value.members)
    read_field(member, spec);
  return spec;
}

edit_job job_reader::read_changes(json_value& value) {
  edit_job changes;
  if (value.type != kind::object || value.members.empty()) {
    fail({}, "must be an object with at least one field to change");
    return changes;
  }
  for (auto& member : value.members) {
    const auto& key = member.key;
    job_spec spec;
    const bool none = member.value.type == kind::null;
    if (key == "args") {
      changes.args = std::move(member.value.text);
    } else if (key == "queue") {
      read_field(member, spec);
      changes.queue = std::move(spec.queue);
    } else if (key == "priority") {
      read_field(member, spec);
      changes.priority = spec.priority;
    } else if (key == "max_attempts") {
      read_field(member, spec);
      changes.max_attempts = spec.max_attempts;
    } else if (key == "timeout_ms") {
      read_field(member, spec);
      changes.timeout.emplace(spec.timeout);
    } else if (key == "tags") {
      read_field(member, spec);
      changes.tags = std::move(spec.tags);
    } else if (key == "run_at") {
      if (!none)
        read_field(member, spec);
      changes.run_at.emplace(spec.run_at);
    } else {
      fail(key, "no such field; what can be changed is args, priority, queue, max_attempts, "
                "timeout_ms, tags, run_at");
    }
  }
  return changes;
}

json_limits limits_for(std::size_t jobs) {
  json_limits out;
  out.depth = limits::args_depth;
  out.raw_bytes = limits::args_bytes;
  out.values = jobs * (fields_per_job + limits::tags) + 2;
  return out;
}

/// What is in `jobs`: between one and as many as there may be, of any kind.
std::variant<std::vector<json_member>, problem> read_array(std::string_view body) {
  auto document = read_json(body, limits_for(limits::bulk_jobs));
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  auto& root = std::get<json_value>(document);
  if (root.type != kind::object)
    return invalid_fields({{"", "must be an object: {\"jobs\":[...]}"}});
  std::vector<field_error> errors;
  json_value* jobs = nullptr;
  for (auto& [key, value] : root.members) {
    if (key == "jobs") {
      jobs = &value;
    } else if (errors.size() < reported_errors) {
      std::string pointer;
      append_pointer(pointer, key);
      errors.push_back({std::move(pointer), "no such field; a bulk request has jobs"});
    }
  }
  if (jobs == nullptr || jobs->type != kind::array || jobs->members.empty()
      || jobs->members.size() > limits::bulk_jobs)
    errors.push_back(
        {"/jobs", "must be an array of 1 to " + std::to_string(limits::bulk_jobs) + " jobs"});
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return std::move(jobs->members);
}

} // namespace

std::variant<job_spec, problem> read_job(std::string_view body, const job_rules& rules) {
  auto document = read_json(body, limits_for(1));
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  std::vector<field_error> errors;
  auto spec = job_reader{rules, {}, errors}.read(std::get<json_value>(document));
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return spec;
}

std::variant<std::vector<job_spec>, problem> read_jobs(std::string_view body,
                                                       const job_rules& rules) {
  auto read = read_array(body);
  if (auto* fault = std::get_if<problem>(&read))
    return std::move(*fault);
  auto& members = std::get<std::vector<json_member>>(read);
  std::vector<field_error> errors;
  std::vector<job_spec> specs;
  specs.reserve(members.size());
  for (std::size_t i = 0; i < members.size(); ++i)
    specs.push_back(job_reader{rules, "/jobs/" + std::to_string(i), errors}.read(members[i].value));
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return specs;
}

std::variant<std::vector<job_or_problem>, problem> read_jobs_apart(std::string_view body,
                                                                   const job_rules& rules) {
  auto read = read_array(body);
  if (auto* fault = std::get_if<problem>(&read))
    return std::move(*fault);
  auto& members = std::get<std::vector<json_member>>(read);
  std::vector<job_or_problem> jobs;
  jobs.reserve(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    std::vector<field_error> errors;
    auto spec = job_reader{rules, "/jobs/" + std::to_string(i), errors, reported_of_one}.read(
        members[i].value);
    if (errors.empty())
      jobs.emplace_back(std::move(spec));
    else
      jobs.emplace_back(invalid_fields(std::move(errors)));
  }
  return jobs;
}

std::variant<edit_job, problem> read_edit(std::string_view body, timestamp now) {
  auto document = read_json(body, limits_for(1));
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  const std::set<std::string> no_kinds;
  const job_rules rules{no_kinds, now};
  std::vector<field_error> errors;
  auto changes = job_reader{rules, {}, errors}.read_changes(std::get<json_value>(document));
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return changes;
}

std::optional<problem> refuse_content(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return std::nullopt;
  auto document = read_json(body, limits_for(1));
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  const auto& value = std::get<json_value>(document);
  if (value.type == kind::object && value.members.empty())
    return std::nullopt;
  return invalid_fields({{"", "this request takes no body or {}"}});
}

} // namespace troupe::http
