// See json.hpp: the writing half. Appends to one string; `args` and `result` are JSON text already
// and are spliced in as they are.
#include "http/json.hpp"
#include "http/time_format.hpp"

#include <array>
#include <charconv>

namespace troupe::http {

namespace {

void append_integer(std::string& out, std::int64_t value) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_time_field(std::string& out, std::string_view key, timestamp time) {
  out += key;
  out += '"';
  append_time(out, time);
  out += '"';
}

void append_optional_time(std::string& out, std::string_view key,
                          const std::optional<timestamp>& time) {
  if (time) {
    append_time_field(out, key, *time);
  } else {
    out += key;
    out += "null";
  }
}

void append_string_or_null(std::string& out, std::string_view key, std::string_view text) {
  out += key;
  if (text.empty())
    out += "null";
  else
    append_json_string(out, text);
}

void append_progress(std::string& out, const job_record& job) {
  const auto& progress = job.progress;
  if (!progress) {
    out += "null";
    return;
  }
  out += "{\"percent\":";
  if (progress->percent) {
    std::array<char, 32> digits;
    out.append(digits.data(),
               std::to_chars(digits.data(), digits.data() + digits.size(), *progress->percent).ptr);
  } else {
    out += "null";
  }
  append_string_or_null(out, ",\"message\":", progress->message);
  out += ",\"attempt\":";
  append_integer(out, progress->attempt);
  append_time_field(out, ",\"updated_at\":", progress->updated_at);
  out += '}';
}

void append_tags(std::string& out, const job_record& job) {
  out += '[';
  for (std::size_t i = 0; i < job.tags.size(); ++i) {
    if (i > 0)
      out += ',';
    append_json_string(out, job.tags[i]);
  }
  out += ']';
}

void append_attempts(std::string& out, const job_record& job) {
  out += '[';
  for (std::size_t i = 0; i < job.attempts.size(); ++i) {
    if (i > 0)
      out += ',';
    append_attempt(out, job.attempts[i]);
  }
  out += ']';
}

struct job_member {
  std::string_view name;
  void (*append)(std::string&, const job_record&);
  bool (*there)(const job_record&) = nullptr; ///< none: always
};

bool runs(const job_record& job) {
  return job.started_at.has_value();
}

using job_ref = const job_record&;
constexpr std::array job_members{
    job_member{"id",
               [](std::string& out, job_ref job) {
                 out += '"';
                 append_integer(out, job.id.value);
                 out += '"';
               }},
    job_member{"queue", [](std::string& out, job_ref job) { append_json_string(out, job.queue); }},
    job_member{"kind", [](std::string& out, job_ref job) { append_json_string(out, job.kind); }},
    job_member{"priority",
               [](std::string& out, job_ref job) { append_integer(out, job.priority); }},
    job_member{"state", [](std::string& out,
                           job_ref job) { append_json_string(out, to_string(job.state)); }},
    job_member{"args",
               [](std::string& out, job_ref job) {
                 out += job.args.empty() ? std::string_view{"{}"} : std::string_view{job.args};
               }},
    job_member{"attempt", [](std::string& out, job_ref job) { append_integer(out, job.attempt); }},
    job_member{"max_attempts",
               [](std::string& out, job_ref job) { append_integer(out, job.max_attempts); }},
    job_member{"timeout_ms",
               [](std::string& out, job_ref job) {
                 if (job.timeout)
                   append_integer(out, job.timeout->count());
                 else
                   out += "null";
               }},
    job_member{"tags", append_tags},
    job_member{"limit_key", [](std::string& out,
                               job_ref job) { append_string_or_null(out, {}, job.limit_key); }},
    job_member{"run_at",
               [](std::string& out, job_ref job) { append_time_field(out, {}, job.run_at); }},
    job_member{"created_at",
               [](std::string& out, job_ref job) { append_time_field(out, {}, job.created_at); }},
    job_member{"node", [](std::string& out, job_ref job) { append_json_string(out, job.node); },
               runs},
    job_member{"started_at",
               [](std::string& out, job_ref job) { append_time_field(out, {}, *job.started_at); },
               runs},
    // From here on of one job only.
    job_member{"retry", [](std::string& out, job_ref job) { out += to_json(*job.retry); },
               [](job_ref job) { return job.retry.has_value(); }},
    job_member{"traceparent",
               [](std::string& out, job_ref job) { append_json_string(out, job.traceparent); },
               [](job_ref job) { return !job.traceparent.empty(); }},
    job_member{"progress", append_progress}, job_member{"attempts", append_attempts}};
constexpr std::size_t listed_members = 15;
static_assert(job_members[listed_members].name == "retry"
              && job_members.size() <= chosen_fields::most);

constexpr auto job_names = [] {
  std::array<std::string_view, job_members.size()> out;
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = job_members[i].name;
  return out;
}();

} // namespace

void append_attempt(std::string& out, const attempt_record& attempt) {
  out += "{\"attempt\":";
  append_integer(out, attempt.attempt);
  out += ",\"outcome\":";
  if (attempt.ended)
    append_json_string(out, to_string(*attempt.ended));
  else
    out += "null";
  append_string_or_null(out, ",\"node\":", attempt.node);
  append_optional_time(out, ",\"started_at\":", attempt.started_at);
  append_optional_time(out, ",\"finished_at\":", attempt.finished_at);
  out += ",\"result\":";
  out += attempt.result.empty() ? std::string_view{"null"} : std::string_view{attempt.result};
  append_string_or_null(out, ",\"error\":", attempt.error);
  out += '}';
}

std::span<const std::string_view> job_fields(bool with_attempts) {
  return std::span{job_names}.first(with_attempts ? job_members.size() : listed_members);
}

void append_job(std::string& out, const job_record& job, bool with_attempts, chosen_fields wanted) {
  const auto end = with_attempts ? job_members.size() : listed_members;
  out += '{';
  for (std::size_t i = 0; i < end; ++i) {
    const auto& member = job_members[i];
    if (!wanted.has(i) || (member.there != nullptr && !member.there(job)))
      continue;
    out += out.back() == '{' ? "\"" : ",\"";
    out += member.name;
    out += "\":";
    member.append(out, job);
  }
  out += '}';
}

void append_line(std::string& out, const log_line& line) {
  out += "{\"number\":\"";
  append_integer(out, line.number);
  append_time_field(out, "\",\"at\":", line.at);
  out += ",\"attempt\":";
  append_integer(out, line.attempt);
  out += ",\"level\":\"";
  out += to_string(line.level);
  out += "\",\"text\":";
  append_json_string(out, line.text);
  out += '}';
}

std::string log_json(const log_page& page) {
  std::string out = "{\"lines\":[";
  for (const auto& line : page.lines) {
    if (out.back() == '}')
      out += ',';
    append_line(out, line);
  }
  out += "],\"next\":";
  if (page.next) {
    out += '"';
    append_integer(out, *page.next);
    out += '"';
  } else {
    out += "null";
  }
  return out + '}';
}

std::string ids_json(const std::vector<job_id>& ids) {
  std::string out = "{\"ids\":[";
  out.reserve(16 + ids.size() * 12);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    out += i == 0 ? "\"" : ",\"";
    append_integer(out, ids[i].value);
    out += '"';
  }
  out += "]}";
  return out;
}

job_record new_job(const job_spec& spec, job_id id, timestamp created_at) {
  job_record job;
  job.id = id;
  job.queue = spec.queue;
  job.kind = spec.kind;
  job.priority = spec.priority;
  job.args = spec.args;
  job.max_attempts = spec.max_attempts;
  job.timeout = spec.timeout;
  job.tags = spec.tags;
  job.limit_key = spec.limit_key;
  job.retry = spec.retry;
  job.traceparent = spec.traceparent;
  job.created_at = created_at;
  job.run_at = spec.run_at.value_or(created_at + spec.delay.value_or(std::chrono::milliseconds{0}));
  job.state = job.run_at > created_at ? job_state::scheduled : job_state::available;
  return job;
}

} // namespace troupe::http
