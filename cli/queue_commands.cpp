// queues: HTTP to a running server.
#include "cli/commands.hpp"
#include "cli/drain_wait.hpp"
#include "cli/http_client.hpp"
#include "cli/queue_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

namespace troupe::cli {

namespace {

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
    queue = server.request("POST", path + "/pause", "{}").body;
    break;
  case command::queues_resume:
    queue = server.request("POST", path + "/resume", "{}").body;
    break;
  case command::queues_drain:
    queue = wait_until_idle(server, path, server.request("POST", path + "/drain", "{}").body,
                            {"queue", "paused"}, wanted);
    break;
  case command::queues_limit:
    queue = server.request("PATCH", path, wanted.new_limits).body;
    break;
  default:
    queue = server.request("GET", path).body;
    break;
  }
  print(wanted.json ? printable_json(queue) + "\n" : queue_details(queue));
  return exit_code::ok;
}

} // namespace troupe::cli
