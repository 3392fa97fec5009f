#include "cli/job_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/text.hpp"

namespace troupe::cli {

namespace {

std::string attempts_of(const json& job) {
  return field(job, "attempt") + "/" + field(job, "max_attempts");
}

/// JSON or a text of a job: what is too long for a person is cut between two characters.
std::string shortened(std::string text) {
  constexpr std::size_t most = 2048;
  if (text.size() <= most)
    return text;
  const auto whole = text.size();
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U)
    --end;
  text.resize(end);
  return text + "… " + std::to_string(whole) + " bytes, see --json";
}

} // namespace

table jobs_table(int widest) {
  return table({{"ID", true},
                {"STATE"},
                {"KIND"},
                {"QUEUE"},
                {"PRIO", true},
                {"ATTEMPT", true},
                {"CREATED"},
                {"RUN AT"}},
               widest);
}

int add_jobs(table& to, std::string_view answer) {
  const auto page = read_object(answer);
  const auto jobs = page.find("jobs");
  if (jobs == page.end() || !jobs->is_array())
    throw command_error(exit_code::failed, "the server's answer holds no list of jobs");
  for (const auto& job : *jobs)
    if (job.is_object())
      to.add({field(job, "id"), field(job, "state"), field(job, "kind"), field(job, "queue"),
              field(job, "priority"), attempts_of(job), short_time(field(job, "created_at")),
              short_time(field(job, "run_at"))});
  return static_cast<int>(jobs->size());
}

std::string job_details(std::string_view text) {
  const auto job = read_object(text);
  table fields({{"FIELD"}, {"VALUE"}});
  for (const char* name : {"id", "state", "kind", "queue", "priority"})
    fields.add({name, field(job, name)});
  fields.add({"attempt", attempts_of(job)});
  if (const auto limit = field(job, "timeout_ms"); !limit.empty())
    fields.add({"timeout_ms", limit});
  std::string tags;
  for (const auto& tag : job.value("tags", json::array()))
    tags += (tags.empty() ? "" : ", ") + (tag.is_string() ? tag.get<std::string>() : tag.dump());
  fields.add({"tags", tags});
  if (const auto key = field(job, "limit_key"); !key.empty())
    fields.add({"limit_key", key});
  if (const auto retry = raw_member(text, "retry"); retry.starts_with('{'))
    fields.add({"retry", std::string{retry}});
  fields.add({"run_at", short_time(field(job, "run_at"))});
  fields.add({"created_at", short_time(field(job, "created_at"))});
  fields.add({"args", shortened(std::string{raw_member(text, "args")})});
  if (const auto raw = raw_member(text, "progress"); raw.starts_with('{')) {
    const auto progress = read_object(raw);
    const auto percent = field(progress, "percent");
    const auto message = field(progress, "message");
    fields.add({"progress", percent + (percent.empty() ? "" : "%")
                                + (percent.empty() || message.empty() ? "" : ", ") + message});
  }
  auto out = fields.take();
  const auto attempts = raw_elements(raw_member(text, "attempts"));
  if (attempts.empty())
    return out;
  table tried(
      {{"ATTEMPT", true}, {"OUTCOME"}, {"NODE"}, {"STARTED"}, {"FINISHED"}, {"RESULT"}, {"ERROR"}});
  for (const auto& raw : attempts) {
    const auto attempt = read_object(raw);
    const auto outcome = field(attempt, "outcome");
    const auto result = raw_member(raw, "result");
    tried.add({field(attempt, "attempt"), outcome.empty() ? "running" : outcome,
               field(attempt, "node"), short_time(field(attempt, "started_at")),
               short_time(field(attempt, "finished_at")),
               result == "null" ? std::string{} : shortened(std::string{result}),
               shortened(field(attempt, "error"))});
  }
  return out + "\n" + tried.take();
}

std::string log_lines(std::string_view answer) {
  std::string out;
  for (const auto& raw : raw_elements(raw_member(answer, "lines"))) {
    const auto line = read_object(raw);
    auto level = field(line, "level");
    level.resize(std::max<std::size_t>(level.size(), 5), ' ');
    out +=
        short_time(field(line, "at")) + "  " + level + "  " + printable(field(line, "text")) + "\n";
  }
  return out;
}

std::string last_line(std::string_view answer) {
  const auto lines = raw_elements(raw_member(answer, "lines"));
  return lines.empty() ? std::string{} : field(read_object(lines.back()), "number");
}

job_head head_of(std::string_view text) {
  const auto job = read_object(text);
  return {field(job, "id"), field(job, "state")};
}

std::string next_cursor(std::string_view answer) {
  const auto next = json::parse(raw_member(answer, "next"), nullptr, false);
  return next.is_string() ? next.get<std::string>() : std::string{};
}

std::string short_time(std::string_view time) {
  constexpr std::size_t seconds_end = 19;
  if (time.size() <= seconds_end || time[10] != 'T')
    return std::string{time};
  return std::string{time.substr(0, 10)} + " " + std::string{time.substr(11, 8)} + "Z";
}

} // namespace troupe::cli
