#include "cli/job_watch.hpp"

#include "cli/answer.hpp"
#include "cli/table.hpp"
#include "cli/text.hpp"
#include "messages/job.hpp"

#include <algorithm>
#include <utility>

namespace troupe::cli {

job_watch::job_watch(const std::vector<std::string>& ids) {
  for (const auto& id : ids)
    if (std::none_of(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.id == id; }))
      jobs_.emplace_back().id = id;
}

std::vector<std::string> job_watch::left() const {
  std::vector<std::string> out;
  for (const auto& job : jobs_)
    if (!job.ended && !job.lost)
      out.push_back(job.id);
  return out;
}

const job_watch::watched& job_watch::at(const std::string& id) const {
  return *std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.id == id; });
}

job_watch::watched& job_watch::at(const std::string& id) {
  return *std::find_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.id == id; });
}

bool job_watch::take(const std::string& id, std::string_view answer) {
  const auto job = read_object(answer);
  watched now;
  now.id = id;
  now.queue = field(job, "queue");
  now.kind = field(job, "kind");
  now.state = field(job, "state");
  now.attempt = field(job, "attempt");
  now.max_attempts = field(job, "max_attempts");
  now.progress = raw_member(answer, "progress");
  const auto state = parse_job_state(now.state);
  if (!state)
    throw command_error(exit_code::failed, "the server's answer is not about a job");
  now.ended = is_final(*state);
  if (const auto attempts = job.find("attempts"); attempts != job.end() && attempts->is_array())
    if (!attempts->empty() && attempts->back().is_object())
      now.error = field(attempts->back(), "error");
  auto& before = at(id);
  const bool changed = now != before;
  before = std::move(now);
  return changed;
}

void job_watch::lose(const std::string& id) {
  at(id).lost = true;
}

exit_code job_watch::verdict() const {
  auto out = exit_code::ok;
  for (const auto& job : jobs_) {
    if (job.ended && job.state != to_string(job_state::completed))
      return exit_code::job_failed;
    if (job.lost)
      out = exit_code::not_found;
  }
  return out;
}

std::string job_watch::progress_of(const watched& job) {
  if (!job.progress.starts_with('{'))
    return {};
  const auto progress = read_object(job.progress);
  const auto percent = field(progress, "percent");
  const auto message = field(progress, "message");
  return percent + (percent.empty() ? "" : "%") + (percent.empty() || message.empty() ? "" : ", ")
         + message;
}

std::string job_watch::sentence(const std::string& id) const {
  const auto& job = at(id);
  std::string out = "job " + id + " is " + job.state;
  if (!job.attempt.empty() && job.attempt != "0")
    out += ", attempt " + job.attempt + " of " + job.max_attempts;
  for (const auto& more : {progress_of(job), job.error})
    out += more.empty() ? "" : ", " + more;
  return printable(out);
}

std::string job_watch::object(const std::string& id) const {
  const auto& job = at(id);
  const auto text = [](const std::string& value) {
    return json(value).dump(-1, ' ', false, json::error_handler_t::replace);
  };
  const auto number = [](const std::string& value) { return value.empty() ? "null" : value; };
  return printable_json("{\"id\":" + text(id) + ",\"queue\":" + text(job.queue)
                        + ",\"kind\":" + text(job.kind) + ",\"state\":" + text(job.state)
                        + ",\"attempt\":" + number(job.attempt) + ",\"max_attempts\":"
                        + number(job.max_attempts) + ",\"progress\":" + number(job.progress)
                        + ",\"error\":" + (job.error.empty() ? "null" : text(job.error)) + "}");
}

std::vector<std::string> job_watch::lines(int rows, int columns) const {
  table all({{"ID", true}, {"STATE"}, {"KIND"}, {"ATTEMPT", true}, {"PROGRESS"}});
  for (const auto& job : jobs_)
    all.add({job.id, job.lost ? "not there" : job.state, job.kind,
             job.state.empty() ? "" : job.attempt + "/" + job.max_attempts,
             job.error.empty() ? progress_of(job) : job.error});
  const auto text = all.take();
  std::vector<std::string> out;
  for (std::size_t from = 0; from < text.size();) {
    const auto end = text.find('\n', from);
    out.push_back(cut_to_width(text.substr(from, end - from), columns));
    from = end + 1;
  }
  const auto most = static_cast<std::size_t>(std::max(rows, 1));
  if (out.size() > most) {
    const auto hidden = out.size() - most + 1;
    out.resize(most - 1);
    out.push_back(cut_to_width("and " + std::to_string(hidden) + " more", columns));
  }
  return out;
}

} // namespace troupe::cli
