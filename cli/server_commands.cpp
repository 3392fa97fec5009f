// health, pool, retention, audit and exports: HTTP to a running server.
#include "cli/commands.hpp"
#include "cli/each_name.hpp"
#include "cli/http_client.hpp"
#include "cli/job_view.hpp"
#include "cli/server_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace troupe::cli {

namespace {

/// Of the routes that are read here.
constexpr int page_size = 100;

const std::string retention_path = "/api/v1/retention";

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Pages from the newest on, as one.
exit_code list_pages(const invocation& wanted, const std::string& path, const std::string& member,
                     table rows, void (*add)(table&, std::string_view)) {
  exit_on_interrupt();
  http_client server(wanted.client);
  auto left = wanted.list.limit;
  std::string before;
  std::string all;
  do {
    const auto size = wanted.list.all ? page_size : std::min(left, page_size);
    const auto answer = server.request("GET", path + "limit=" + std::to_string(size)
                                                  + (before.empty() ? "" : "&before=" + before));
    const auto page = raw_member(answer.body, member);
    if (page.size() < 2 || page.front() != '[')
      throw command_error(exit_code::failed, "the server's answer holds no list of " + member);
    if (wanted.json) {
      const auto elements = printable_json(page.substr(1, page.size() - 2));
      all += (all.empty() || elements.empty() ? "" : ",") + elements;
    } else {
      add(rows, answer.body);
      print(rows.take());
    }
    left -= static_cast<int>(raw_elements(page).size());
    before = next_cursor(answer.body);
  } while (!before.empty() && (wanted.list.all || left > 0));
  if (wanted.json)
    print("{\"" + member + "\":[" + all
          + "],\"next\":" + (before.empty() ? "null" : json_string(before)) + "}\n");
  else if (!before.empty())
    tell("there are more; see them with --limit N or --all");
  return exit_code::ok;
}

/// False, and said why, when an age would become shorter and nobody said --yes.
bool may_shorten(http_client& server, const invocation& wanted) {
  if (wanted.yes)
    return true;
  const auto kept = server.request("GET", retention_path).body;
  for (const auto& queue : wanted.ids)
    if (const auto what = shortened(kept, queue, wanted.patch); !what.empty()) {
      complain((queue.empty() ? "all others" : queue) + ": " + what
               + "; nothing was done, for what is gone does not come back; add --yes to do it");
      return false;
    }
  return true;
}

} // namespace

exit_code run_health(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto answer = server.send("GET", wanted.ready ? "/readyz" : "/livez");
  const bool well = answer.status == 200;
  if (!well && answer.status != 503)
    throw command_error(exit_code_of_answer(answer), problem_text(answer));
  auto reason = answer.body;
  while (reason.ends_with('\n'))
    reason.pop_back();
  if (wanted.json)
    print(std::string{"{\"ok\":"} + (well ? "true" : "false")
          + ",\"reason\":" + (well ? "null" : printable_json(json_string(reason))) + "}\n");
  else
    print(printable(reason) + "\n");
  return well ? exit_code::ok : exit_code::failed;
}

exit_code run_server_object(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto answer =
      server.request("GET", wanted.what == command::pool ? "/api/v1/pool" : retention_path);
  print(wanted.json                    ? printable_json(answer.body) + "\n"
        : wanted.what == command::pool ? object_details(answer.body)
                                       : retention_text(answer.body));
  return exit_code::ok;
}

exit_code run_retention_set(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  auto changed = wanted;
  if (changed.ids.empty())
    changed.ids.emplace_back(); // all others
  if (!may_shorten(server, changed))
    return exit_code::usage;
  auto rows = ages_table();
  return for_each_name(changed, "queue", [&](const std::string& queue) {
    const auto path = queue.empty() ? "" : "/" + http_client::escaped(queue);
    const auto answer = server.request("PATCH", retention_path + path, wanted.patch).body;
    add_ages(rows, answer);
    print(wanted.json ? printable_json(answer) + "\n" : rows.take());
  });
}

exit_code run_retention_reset(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  if (!may_shorten(server, wanted))
    return exit_code::usage;
  return for_each_name(wanted, "queue", [&](const std::string& name) {
    server.request("DELETE", retention_path + "/" + http_client::escaped(name));
    print(wanted.json ? "{\"queue\":" + json_string(name) + ",\"reset\":true}\n"
                      : name + ": as all others\n");
  });
}

exit_code run_audit_list(const invocation& wanted) {
  return list_pages(wanted, "/api/v1/audit?", "entries", audit_table(), add_entries);
}

exit_code run_exports_list(const invocation& wanted) {
  const auto& queue = wanted.list.queue;
  return list_pages(
      wanted, "/api/v1/exports?" + (queue ? "queue=" + http_client::escaped(*queue) + "&" : ""),
      "exports", exports_table(), add_exports);
}

exit_code run_exports_by_id(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  return for_each_name(wanted, "export", [&](const std::string& id) {
    const auto path = "/api/v1/exports/" + id;
    if (wanted.what == command::exports_delete) {
      server.request("DELETE", path);
      return print(wanted.json ? "{\"id\":\"" + id + "\",\"deleted\":true}\n"
                               : "deleted " + id + "\n");
    }
    const auto answer = server.request("GET", path);
    print(wanted.json ? printable_json(answer.body) + "\n" : object_details(answer.body));
  });
}

} // namespace troupe::cli
