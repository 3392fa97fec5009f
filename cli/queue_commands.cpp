// queues: HTTP to a running server. A drain asks again until nothing runs; that it was interrupted
// changes nothing: the queue stays paused.
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/outage.hpp"
#include "cli/queue_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe::cli {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto first_pause = 20ms;
constexpr auto longest_pause = 500ms;
/// Between two lines that say how many still run.
constexpr auto line_every = 2s;

std::string wait_until_idle(http_client& server, const std::string& path, std::string queue,
                            const invocation& wanted) {
  const auto began = steady::now();
  auto said = began - line_every;
  std::int64_t shown = -1;
  outage away;
  away.heard();
  auto pause = std::chrono::milliseconds{first_pause};
  for (auto running = running_of(queue); running > 0; running = running_of(queue)) {
    if (!wanted.json && running != shown && steady::now() - said >= line_every) {
      tell("paused; " + std::to_string(running) + " still running");
      shown = running;
      said = steady::now();
    }
    if (wanted.wait_limit
        && steady::now() - began >= std::chrono::duration<double>(*wanted.wait_limit))
      throw command_error(exit_code::timed_out, "the queue is paused, and "
                                                    + std::to_string(running)
                                                    + " of its jobs are still running");
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
    try {
      queue = server.request("GET", path).body;
      away.heard();
    } catch (const command_error& e) {
      if (!away.bears(e))
        throw command_error(e.code(), std::string{"the queue is paused, and it is not known what "
                                                  "still runs: "}
                                          + e.what());
    }
  }
  return queue;
}

/// Queues are looked through for the one that was meant in so many pages of 500.
constexpr int most_pages = 4;

std::vector<std::string> names_of_queues(http_client& server) {
  std::vector<std::string> names;
  std::string after;
  for (int page = 0; page < most_pages && (page == 0 || !after.empty()); ++page) {
    const auto answer = server.send("GET", "/api/v1/queues?limit=500&fields=name"
                                               + (after.empty() ? "" : "&after=" + after));
    if (exit_code_of_status(answer.status) != exit_code::ok) // a token may be for some queues only
      break;
    add_names(names, answer.body);
    after = next_queue(answer.body);
  }
  return names;
}

/// The queue that the command names, looked up or after a change.
std::string ask_about(http_client& server, const invocation& wanted, const char* method,
                      const std::string& path, const std::optional<std::string>& body = {}) {
  const auto answer = server.send(method, path + (wanted.create_queue ? "?create=true" : ""), body);
  const auto code = exit_code_of_status(answer.status);
  if (code == exit_code::ok)
    return answer.body;
  // A foreign server's 404 is another one.
  if (code != exit_code::not_found || problem_code(answer) != "not_found")
    throw command_error(code, problem_text(answer));
  const bool made_by_create =
      wanted.what != command::queues_show && wanted.what != command::queues_resume;
  throw command_error(code,
                      unknown_queue(wanted.ids.front(), names_of_queues(server), made_by_create));
}

/// Pages by the names of queues, as one.
exit_code list_all(const invocation& wanted, const std::string& path, table rows,
                   void (*add)(table&, std::string_view)) {
  exit_on_interrupt();
  http_client server(wanted.client);
  std::string after;
  std::string all;
  do {
    const auto answer = server.request("GET", path + (after.empty() ? "" : "&after=" + after));
    if (wanted.json) {
      const auto page = raw_member(answer.body, "queues");
      if (page.size() < 2)
        throw command_error(exit_code::failed, "the server's answer holds no list of queues");
      const auto elements = printable_json(page.substr(1, page.size() - 2));
      all += (all.empty() || elements.empty() ? "" : ",") + elements;
    } else {
      add(rows, answer.body);
      print(rows.take());
    }
    after = next_queue(answer.body);
  } while (!after.empty());
  if (wanted.json)
    print("{\"queues\":[" + all + "],\"next\":null}\n");
  return exit_code::ok;
}

} // namespace

exit_code run_queues_list(const invocation& wanted) {
  return list_all(wanted, "/api/v1/queues?limit=500", queues_table(), add_queues);
}

exit_code run_jobs_counts(const invocation& wanted) {
  const auto& only = wanted.list.queue;
  return list_all(wanted,
                  "/api/v1/jobs/counts?"
                      + (only ? "queue=" + http_client::escaped(*only) : std::string{"limit=500"}),
                  counts_table(), add_counts);
}

exit_code run_queue(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto path = "/api/v1/queues/" + http_client::escaped(wanted.ids.front());
  std::string queue;
  switch (wanted.what) {
  case command::queues_pause:
    queue = ask_about(server, wanted, "POST", path + "/pause", "{}");
    break;
  case command::queues_resume:
    queue = ask_about(server, wanted, "POST", path + "/resume", "{}");
    break;
  case command::queues_drain:
    queue = wait_until_idle(server, path, ask_about(server, wanted, "POST", path + "/drain", "{}"),
                            wanted);
    break;
  case command::queues_limit:
    queue = ask_about(server, wanted, "PATCH", path, wanted.new_limits);
    break;
  default:
    queue = ask_about(server, wanted, "GET", path);
    break;
  }
  print(wanted.json ? printable_json(queue) + "\n" : queue_details(queue));
  return exit_code::ok;
}

} // namespace troupe::cli
