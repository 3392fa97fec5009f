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

void append_progress(std::string& out, const std::optional<job_progress>& progress) {
  if (!progress) {
    out += ",\"progress\":null";
    return;
  }
  out += ",\"progress\":{\"percent\":";
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

void append_tags(std::string& out, const std::vector<std::string>& tags) {
  out += ",\"tags\":[";
  for (std::size_t i = 0; i < tags.size(); ++i) {
    if (i > 0)
      out += ',';
    append_json_string(out, tags[i]);
  }
  out += ']';
}

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

void append_job(std::string& out, const job_record& job, bool with_attempts) {
  out += "{\"id\":\"";
  append_integer(out, job.id.value);
  out += "\",\"queue\":";
  append_json_string(out, job.queue);
  out += ",\"kind\":";
  append_json_string(out, job.kind);
  out += ",\"priority\":";
  append_integer(out, job.priority);
  out += ",\"state\":\"";
  out += to_string(job.state);
  out += "\",\"args\":";
  out += job.args.empty() ? std::string_view{"{}"} : std::string_view{job.args};
  out += ",\"attempt\":";
  append_integer(out, job.attempt);
  out += ",\"max_attempts\":";
  append_integer(out, job.max_attempts);
  out += ",\"timeout_ms\":";
  if (job.timeout)
    append_integer(out, job.timeout->count());
  else
    out += "null";
  append_tags(out, job.tags);
  append_string_or_null(out, ",\"limit_key\":", job.limit_key);
  if (job.retry) {
    out += ",\"retry\":";
    out += to_json(*job.retry);
  }
  append_time_field(out, ",\"run_at\":", job.run_at);
  append_time_field(out, ",\"created_at\":", job.created_at);
  if (with_attempts) {
    append_progress(out, job.progress);
    out += ",\"attempts\":[";
    for (std::size_t i = 0; i < job.attempts.size(); ++i) {
      if (i > 0)
        out += ',';
      append_attempt(out, job.attempts[i]);
    }
    out += ']';
  }
  out += '}';
}

std::string log_json(const log_page& page) {
  std::string out = "{\"lines\":[";
  for (const auto& line : page.lines) {
    out += out.back() == '[' ? "{\"number\":\"" : ",{\"number\":\"";
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
  job.created_at = created_at;
  job.run_at = spec.run_at.value_or(created_at + spec.delay.value_or(std::chrono::milliseconds{0}));
  job.state = job.run_at > created_at ? job_state::scheduled : job_state::available;
  return job;
}

} // namespace troupe::http
