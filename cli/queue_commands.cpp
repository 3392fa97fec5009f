// queues: HTTP to a running server.
#include "cli/commands.hpp"
#include "cli/drain_wait.hpp"
#include "cli/each_name.hpp"
#include "cli/http_client.hpp"
#include "cli/queue_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe::cli {

namespace {

/// Queues are looked through for the one that was meant in so many pages of 500.
constexpr int most_pages = 4;

std::vector<std::string> names_of_queues(http_client& server) {
  std::vector<std::string> names;
  std::string after;
  for (int page = 0; page < most_pages && (page == 0 || !after.empty()); ++page) {
    const auto answer = server.send("GET", "/api/v1/queues?limit=500&fields=name"
                                               + (after.empty() ? "" : "&after=" + after));
    if (exit_code_of_answer(answer) != exit_code::ok) // a token may be for some queues only
      break;
    add_names(names, answer.body);
    after = next_queue(answer.body);
  }
  return names;
}

/// A queue that the command names, looked up or after a change.
std::string ask_about(http_client& server, const invocation& wanted, const std::string& name,
                      const char* method, const std::string& path,
                      const std::optional<std::string>& body = {}) {
  const auto answer = server.send(method, path + (wanted.create_queue ? "?create=true" : ""), body);
  const auto code = exit_code_of_answer(answer);
  if (code == exit_code::ok)
    return answer.body;
  // A foreign server's 404 is another one.
  if (code != exit_code::not_found || problem_code(answer) != "not_found")
    throw command_error(code, problem_text(answer));
  const bool made_by_create =
      wanted.what != command::queues_show && wanted.what != command::queues_resume;
  throw command_error(code, unknown_queue(name, names_of_queues(server), made_by_create));
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

std::string steer(http_client& server, const invocation& wanted, const std::string& name) {
  const auto path = "/api/v1/queues/" + http_client::escaped(name);
  switch (wanted.what) {
  case command::queues_pause:
    return ask_about(server, wanted, name, "POST", path + "/pause", "{}");
  case command::queues_resume:
    return ask_about(server, wanted, name, "POST", path + "/resume", "{}");
  case command::queues_drain:
    return wait_until_idle(server, path,
                           ask_about(server, wanted, name, "POST", path + "/drain", "{}"),
                           {"queue", "paused"}, wanted);
  case command::queues_limit:
    return ask_about(server, wanted, name, "PATCH", path, wanted.patch);
  default:
    return ask_about(server, wanted, name, "GET", path);
  }
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
  return for_each_name(wanted, "queue", [&](const std::string& name) {
    const auto queue = steer(server, wanted, name);
    print(wanted.json ? printable_json(queue) + "\n" : queue_details(queue));
  });
}

} // namespace troupe::cli
