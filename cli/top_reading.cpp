#include "cli/top_reading.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <utility>

namespace troupe::cli {

namespace {

/// The members of an answer's list that are objects.
std::vector<json> objects_of(const json& answer, const char* list) {
  const auto found = answer.find(list);
  if (found == answer.end() || !found->is_array())
    throw command_error(exit_code::failed,
                        std::string{"the server's answer holds no list of "} + list);
  std::vector<json> out;
  for (const auto& each : *found)
    if (each.is_object())
      out.push_back(each);
  return out;
}

std::int64_t number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<std::int64_t>() : 0;
}

} // namespace

std::string add_counts(top_reading& to, std::string_view answer) {
  const auto page = read_object(answer);
  for (const auto& each : objects_of(page, "queues")) {
    auto& queue = to.queues.emplace_back();
    queue.name = field(each, "queue");
    queue.scheduled = number(each, "scheduled");
    queue.available = number(each, "available");
    queue.running = number(each, "running");
    queue.retryable = number(each, "retryable");
    queue.completed = number(each, "completed");
    queue.cancelled = number(each, "cancelled");
    queue.discarded = number(each, "discarded");
  }
  return field(page, "next");
}

std::string add_pauses(top_reading& to, std::string_view answer) {
  const auto page = read_object(answer);
  for (const auto& each : objects_of(page, "queues"))
    if (const auto paused = each.find("paused"); paused != each.end() && *paused == true)
      for (auto& queue : to.queues)
        if (queue.name == field(each, "name"))
          queue.paused = true;
  return field(page, "next");
}

void set_running(top_reading& to, std::string_view answer) {
  const auto page = read_object(answer);
  to.running.clear();
  for (const auto& each : objects_of(page, "jobs"))
    to.running.push_back({field(each, "id"),
                          field(each, "queue"),
                          field(each, "kind"),
                          field(each, "attempt"),
                          field(each, "max_attempts"),
                          {field(each, "node"), {}, read_time(field(each, "started_at"))}});
  const auto age = [](const running_job& job) {
    return job.run.started.value_or(std::chrono::system_clock::time_point::max());
  };
  std::stable_sort(to.running.begin(), to.running.end(),
                   [&](const auto& one, const auto& other) { return age(one) < age(other); });
  to.more_running = !field(page, "next").empty();
}

void set_nodes(top_reading& to, std::string_view answer) {
  const auto page = read_object(answer);
  to.nodes.clear();
  for (const auto& each : objects_of(page, "nodes"))
    to.nodes.push_back({field(each, "name"), field(each, "state"), number(each, "running")});
  std::stable_sort(to.nodes.begin(), to.nodes.end(),
                   [](const auto& one, const auto& other) { return one.name < other.name; });
  to.more_nodes = !field(page, "next").empty();
}

void set_health(top_reading& to, std::string_view answer) {
  const auto health = read_object(answer);
  to.node.name = field(health, "node");
  to.node.version = field(health, "version");
  to.node.status = field(health, "status");
  to.node.trouble.clear();
  for (const auto& check : objects_of(health, "checks"))
    if (field(check, "status") != "ok")
      to.node.trouble.push_back(field(check, "name") + ": " + field(check, "reason"));
}

void set_metrics(top_reading& to, std::string_view text) {
  const auto value = [text](std::string_view name) -> std::int64_t {
    for (std::size_t from = 0; from < text.size();) {
      const auto end = std::min(text.find('\n', from), text.size());
      const auto line = text.substr(from, end - from);
      from = end + 1;
      if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ')
        continue;
      double read = 0;
      const auto digits = line.substr(name.size() + 1);
      std::from_chars(digits.data(), digits.data() + digits.size(), read);
      return static_cast<std::int64_t>(read);
    }
    return 0;
  };
  to.node.running = value("troupe_jobs_running");
  to.node.stuck = value("troupe_jobs_stuck");
  to.node.backlog = value("troupe_jobs_backlog");
}

std::string read_progress(std::string_view answer) {
  const auto job = read_object(answer);
  const auto progress = job.find("progress");
  if (progress == job.end() || !progress->is_object())
    return {};
  const auto percent = field(*progress, "percent");
  const auto message = field(*progress, "message");
  return percent + (percent.empty() ? "" : "%") + (percent.empty() || message.empty() ? "" : ", ")
         + message;
}

std::vector<std::string> run_notes::wanted(const top_reading& reading, std::size_t most) const {
  std::vector<std::pair<std::uint64_t, std::string>> order;
  for (const auto& job : reading.running) {
    if (!job.run.started || reading.taken_at - *job.run.started < least_age)
      continue;
    const auto known = notes_.find(key_of(job));
    order.emplace_back(known == notes_.end() ? 0 : known->second.asked, job.id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& one, const auto& other) { return one.first < other.first; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::min(most, order.size()); ++i)
    out.push_back(order[i].second);
  return out;
}

void run_notes::keep(const running_job& job, std::string progress) {
  notes_.insert_or_assign(key_of(job), note{std::move(progress), ++questions_});
}

void run_notes::apply(top_reading& to) {
  std::map<std::string, note> kept;
  for (auto& job : to.running)
    if (auto known = notes_.extract(key_of(job)); !known.empty()) {
      job.run.progress = known.mapped().progress;
      kept.insert(std::move(known));
    }
  notes_ = std::move(kept);
}

std::optional<std::chrono::system_clock::time_point> read_time(std::string_view text) {
  std::tm parts{};
  double seconds = 0;
  char zone = 0;
  if (std::sscanf(std::string{text}.c_str(), "%4d-%2d-%2dT%2d:%2d:%lf%c", &parts.tm_year,
                  &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &seconds, &zone)
          != 7
      || zone != 'Z' || seconds < 0 || seconds > 61)
    return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  const auto whole = ::timegm(&parts);
  return std::chrono::system_clock::from_time_t(whole)
         + std::chrono::duration_cast<std::chrono::system_clock::duration>(
             std::chrono::duration<double>(seconds));
}

} // namespace troupe::cli
