// enqueue and jobs: HTTP to a running server. JSON is passed on as the server wrote it, so no
// number is rounded on the way; only what could drive a terminal is escaped.
#include "cli/commands.hpp"
#include "cli/each_name.hpp"
#include "cli/enqueue_options.hpp"
#include "cli/filter_options.hpp"
#include "cli/http_client.hpp"
#include "cli/job_view.hpp"
#include "cli/look_pause.hpp"
#include "cli/outage.hpp"
#include "cli/signals.hpp"
#include "cli/terminal.hpp"
#include "cli/text.hpp"
#include "cli/why_view.hpp"
#include "messages/job.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

namespace troupe::cli {

namespace {

using steady = std::chrono::steady_clock;

/// Cells of a table on a terminal.
constexpr int widest_cell = 60;

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string read_standard_input() {
  std::string text;
  char chunk[16 * 1024];
  while (const auto size = std::fread(chunk, 1, sizeof chunk, stdin)) {
    text.append(chunk, size);
    if (text.size() > limits::args_bytes)
      throw command_error(exit_code::usage, "standard input is longer than the "
                                                + std::to_string(limits::args_bytes)
                                                + " bytes that args may have");
  }
  return text;
}

std::string json_array(const std::vector<std::string>& texts) {
  std::string list;
  for (const auto& text : texts)
    list += (list.empty() ? "" : ",") + json_string(text);
  return "[" + list + "]";
}

std::string unique_of(const enqueue_settings& job) {
  std::string rule;
  std::vector<std::string> fields;
  const auto add = [&](const std::string& member) { rule += (rule.empty() ? "" : ",") + member; };
  for (const auto& what : job.unique)
    if (what.starts_with("args."))
      fields.push_back(what.substr(5));
  for (const char* name : {"queue", "args"})
    if (std::find(job.unique.begin(), job.unique.end(), name) != job.unique.end())
      add(json_string(name) + ":true");
  if (!fields.empty())
    add("\"args\":" + json_array(fields));
  if (job.unique_period_ms)
    add("\"period_ms\":" + std::to_string(*job.unique_period_ms));
  if (!job.unique_states.empty())
    add("\"states\":" + json_array(job.unique_states));
  if (job.on_conflict)
    add("\"on_conflict\":" + json_string(*job.on_conflict));
  return "{" + rule + "}";
}

/// The request's body. Args go in as they are: a parser would round their numbers.
std::string body_of(const enqueue_settings& job) {
  const auto args = job.args == "-" ? read_standard_input() : job.args;
  if (!nlohmann::json::accept(args))
    throw command_error(exit_code::usage, "--args is not JSON; for example --args '{\"ms\":100}'");
  std::string body = "{\"kind\":" + json_string(job.kind) + ",\"args\":" + args;
  const auto text = [&](const char* name, const std::optional<std::string>& value) {
    if (value)
      body += std::string{",\""} + name + "\":" + json_string(*value);
  };
  const auto number = [&](const char* name, const auto& value) {
    if (value)
      body += std::string{",\""} + name + "\":" + std::to_string(*value);
  };
  text("queue", job.queue);
  number("priority", job.priority);
  number("max_attempts", job.max_attempts);
  number("timeout_ms", job.timeout_ms);
  number("delay_ms", job.delay_ms);
  text("run_at", job.run_at);
  text("limit_key", job.limit_key);
  if (const auto retry = retry_of(job))
    body += ",\"retry\":" + to_json(*retry);
  if (!job.tags.empty())
    body += ",\"tags\":" + json_array(job.tags);
  if (!job.unique.empty())
    body += ",\"unique\":" + unique_of(job);
  return body + "}";
}

void print_job(const std::string& job, bool as_json) {
  print(as_json ? printable_json(job) + "\n" : job_details(job));
}

command_error not_over_yet(const std::string& id) {
  return {exit_code::timed_out,
          "job " + id + " is not at its end yet; look again with 'troupe jobs get " + id + "'"};
}

/// Asks until the job is final; bears an outage.
std::string wait_for_end(http_client& server, const std::string& id,
                         const std::optional<double>& limit) {
  const auto began = steady::now();
  if (limit)
    server.give_up_after(std::chrono::duration<double>(*limit));
  outage away;
  away.heard();
  look_pause pause{look_pause::waiting};
  while (true) {
    const bool over = limit && steady::now() - began >= std::chrono::duration<double>(*limit);
    try {
      auto answer = server.request("GET", "/api/v1/jobs/" + id);
      away.heard();
      const auto state = parse_job_state(head_of(answer.body).state);
      if (state && is_final(*state))
        return std::move(answer.body);
    } catch (const command_error& e) {
      if (!away.bears(e))
        throw;
    }
    if (over)
      throw not_over_yet(id);
    std::this_thread::sleep_for(pause.after(false));
  }
}

std::string list_path(const list_settings& list, int limit, const std::string& cursor) {
  auto path = "/api/v1/jobs?limit=" + std::to_string(limit) + filter_query(list);
  if (!cursor.empty())
    path += "&cursor=" + http_client::escaped(cursor);
  return path;
}

/// "[a,b]" without its brackets.
std::string elements_of(std::string_view answer) {
  const auto array = raw_member(answer, "jobs");
  if (array.size() < 2 || array.front() != '[')
    throw command_error(exit_code::failed, "the server's answer holds no list of jobs");
  return printable_json(array.substr(1, array.size() - 2));
}

} // namespace

exit_code run_enqueue(const invocation& wanted) {
  exit_on_interrupt();
  const auto& job = wanted.enqueue;
  http_client server(wanted.client);
  if (job.idempotency_key)
    server.add_header("Idempotency-Key", *job.idempotency_key);
  const auto made = server.request("POST", "/api/v1/jobs", body_of(job));
  const auto id = head_of(made.body).id;
  if (!wanted.json && raw_member(made.body, "existing") == "true")
    tell("job " + id + " was there already"
         + (raw_member(made.body, "replaced") == "true" ? " and does now what was asked" : ""));
  if (!job.wait) {
    print(wanted.json ? printable_json(made.body) + "\n" : printable(id) + "\n");
    return exit_code::ok;
  }
  if (!wanted.json)
    tell("job " + id + " is in; waiting for its end");
  const auto ended = wait_for_end(server, id, job.wait_limit);
  print_job(ended, wanted.json);
  return parse_job_state(head_of(ended).state) == job_state::completed ? exit_code::ok
                                                                       : exit_code::job_failed;
}

exit_code run_jobs_list(const invocation& wanted) {
  exit_on_interrupt();
  const auto& list = wanted.list;
  http_client server(wanted.client);
  auto rows = jobs_table(is_for_person() ? widest_cell : 0);
  const auto page_size = static_cast<int>(limits::page_size);
  int left = list.limit;
  std::string cursor;
  std::string opening = "{\"jobs\":[";
  bool any = false;
  do { // of a search a page may have fewer jobs than it was asked for, or none
    const auto limit = list.all ? page_size : std::min(left, page_size);
    const auto answer = server.request("GET", list_path(list, limit, cursor));
    const auto count = raw_elements(raw_member(answer.body, "jobs")).size();
    if (wanted.json) {
      print(opening + (any && count > 0 ? "," : "") + elements_of(answer.body));
      opening.clear();
      any = any || count > 0;
    } else {
      add_jobs(rows, answer.body);
    }
    cursor = next_cursor(answer.body);
    if (!wanted.json && (count > 0 || cursor.empty()))
      print(rows.take());
    left -= static_cast<int>(count);
  } while (!cursor.empty() && (list.all || left > 0));
  if (wanted.json)
    print("],\"next\":" + (cursor.empty() ? std::string{"null"} : json_string(cursor)) + "}\n");
  else if (!cursor.empty())
    tell("there are more; see them with --limit N or --all");
  return exit_code::ok;
}

exit_code run_jobs_logs(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto job = "/api/v1/jobs/" + wanted.ids.front();
  const auto page = job + "/logs?limit=" + std::to_string(limits::log_page) + "&after=";
  auto after = std::to_string(wanted.log.after);
  look_pause pause{look_pause::waiting};
  outage away;
  for (bool over = !wanted.log.follow;;) {
    bool news = false;
    try {
      // Looked at before its lines are: what it said before its end is all there then.
      const bool ended = over
                         || is_final(parse_job_state(head_of(server.request("GET", job).body).state)
                                         .value_or(job_state::available));
      const auto answer = server.request("GET", page + after);
      away.heard();
      if (const auto last = last_line(answer.body); !last.empty()) {
        if (wanted.json)
          for (const auto& line : raw_elements(raw_member(answer.body, "lines")))
            print(printable_json(line) + "\n");
        else
          print(log_lines(answer.body));
        after = last;
        news = true;
      }
      if (!next_cursor(answer.body).empty())
        continue;
      if (ended)
        return exit_code::ok;
    } catch (const command_error& e) {
      if (!away.bears(e))
        throw;
    }
    std::this_thread::sleep_for(pause.after(news));
  }
}

exit_code run_jobs_by_id(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  return for_each_name(wanted, "job", [&](const std::string& id) {
    const auto path = "/api/v1/jobs/" + id;
    if (wanted.what == command::jobs_delete) {
      server.request("DELETE", path);
      return print(wanted.json ? "{\"id\":\"" + id + "\",\"deleted\":true}\n"
                               : "deleted " + id + "\n");
    }
    if (wanted.what == command::jobs_why) {
      const auto answer = server.request("GET", path + "/why");
      return print((wanted.json ? printable_json(answer.body) : why_sentence(answer.body)) + "\n");
    }
    const auto answer = wanted.what == command::jobs_get ? server.request("GET", path)
                        : wanted.what == command::jobs_cancel
                            ? server.request("POST", path + "/cancel", "{}")
                            : server.request("POST", path + "/retry", "{}");
    if (wanted.json || wanted.what == command::jobs_get)
      print_job(answer.body, wanted.json);
    else
      print("job " + id + " is " + printable(head_of(answer.body).state) + "\n");
  });
}

} // namespace troupe::cli
