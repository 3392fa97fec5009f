// See json_work.hpp: the writing half.
#include "http/json_work.hpp"
#include "http/time_format.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

using milliseconds = std::chrono::milliseconds;

void append_ids(std::string& out, std::string_view name, const std::vector<job_id>& ids) {
  out += name;
  out += '[';
  for (const auto id : ids) {
    if (out.back() == '"')
      out += ',';
    out += '"' + std::to_string(id.value) + '"';
  }
  out += ']';
}

void append_claimed(std::string& out, const claimed_job& job, std::string_view traceparent) {
  out += "{\"id\":\"" + std::to_string(job.id.value) + "\",\"lease\":\""
         + std::to_string(job.lease.value) + "\",\"attempt\":" + std::to_string(job.attempt)
         + ",\"max_attempts\":" + std::to_string(job.max_attempts) + ",\"queue\":";
  append_json_string(out, job.queue);
  out += ",\"kind\":";
  append_json_string(out, job.kind);
  out += ",\"priority\":" + std::to_string(job.priority) + ",\"args\":";
  out += job.args;
  out += ",\"timeout_ms\":" + (job.timeout ? std::to_string(job.timeout->count()) : "null");
  out += ",\"tags\":[";
  for (std::size_t i = 0; i < job.tags.size(); ++i) {
    if (i > 0)
      out += ',';
    append_json_string(out, job.tags[i]);
  }
  out += "],\"limit_key\":";
  if (job.limit_key.empty())
    out += "null";
  else
    append_json_string(out, job.limit_key);
  out += ",\"created_at\":";
  append_time_or_null(out, job.created_at);
  if (!traceparent.empty()) {
    out += ",\"traceparent\":";
    append_json_string(out, traceparent);
  }
  out += '}';
}

} // namespace

std::chrono::milliseconds heartbeat_of(milliseconds lease) {
  return std::clamp(lease / 5, milliseconds{1'000}, milliseconds{5'000});
}

std::string joined_json(const join_worker& asked, node_id node, const work_secret& secret) {
  const auto id = std::to_string(node.value);
  std::string out = "{\"id\":\"" + id + "\",\"name\":";
  append_json_string(out, asked.name);
  out += ",\"session\":";
  append_json_string(out, id + '.' + secret.text);
  return out + ",\"lease_ms\":" + std::to_string(asked.lease.count())
         + ",\"heartbeat_ms\":" + std::to_string(heartbeat_of(asked.lease).count()) + '}';
}

std::string claimed_json(const claimed_work& got, const std::vector<std::string>& traces) {
  std::string out = "{\"jobs\":[";
  for (std::size_t i = 0; i < got.jobs.size(); ++i) {
    if (i > 0)
      out += ',';
    append_claimed(out, got.jobs[i], traces.empty() ? got.jobs[i].traceparent : traces.at(i));
  }
  return out + "]}";
}

std::string finished_json(const told_outcomes& told, const std::vector<work_fate>& fates) {
  std::string out = "{\"results\":[";
  std::size_t next = 0;
  for (const auto& one : told.all) {
    if (out.back() == '}')
      out += ',';
    out += "{\"job\":" + (one.job.empty() ? "null" : '"' + one.job + '"')
           + ",\"attempt\":" + (one.attempt > 0 ? std::to_string(one.attempt) : "null");
    if (one.errors.empty()) {
      const auto fate = fates.at(next++);
      out += fate == work_fate::done     ? ",\"status\":\"done\"}"
             : fate == work_fate::fenced ? ",\"status\":\"fenced\"}"
                                         : ",\"status\":\"cancelled\"}";
      continue;
    }
    out += ",\"status\":\"invalid\",\"errors\":[";
    for (const auto& error : one.errors) {
      out += out.back() == '[' ? "{\"pointer\":" : ",{\"pointer\":";
      append_json_string(out, error.pointer);
      out += ",\"detail\":";
      append_json_string(out, error.detail);
      out += '}';
    }
    out += "]}";
  }
  return out + "]}";
}

std::string pulse_json(const work_pulse& pulse) {
  std::string out = pulse.wanted == work_wish::run     ? "{\"state\":\"run\""
                    : pulse.wanted == work_wish::quiet ? "{\"state\":\"quiet\""
                                                       : "{\"state\":\"terminate\"";
  append_ids(out, ",\"cancelled\":", pulse.cancelled);
  append_ids(out, ",\"lost\":", pulse.lost);
  append_ids(out, ",\"put_back\":", pulse.put_back);
  return out + '}';
}

std::string reported_json(const reported_work& told) {
  std::string out = "{";
  append_ids(out, "\"fenced\":", told.fenced);
  return out + ",\"dropped\":" + std::to_string(told.dropped) + '}';
}

std::string left_json(const left_worker& left) {
  std::string out = "{";
  append_ids(out, "\"put_back\":", left.put_back);
  return out + '}';
}

} // namespace troupe::http
