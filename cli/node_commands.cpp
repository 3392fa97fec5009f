// nodes: HTTP to a running server.
#include "cli/commands.hpp"
#include "cli/drain_wait.hpp"
#include "cli/http_client.hpp"
#include "cli/node_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

#include <nlohmann/json.hpp>

namespace troupe::cli {

namespace {

/// A worker is steered by the number of its life, which its name leads to.
std::string steer_worker(http_client& server, const std::string& path, const char* how) {
  const auto id = std::string{raw_member(server.request("GET", path).body, "id")};
  const auto number = nlohmann::json::parse(id, nullptr, false);
  if (!number.is_string())
    throw command_error(exit_code::failed, "the server's answer is no node");
  server.request("POST", "/api/v1/work/workers/" + number.get<std::string>() + how, "{}");
  return server.request("GET", path).body;
}

} // namespace

exit_code run_nodes_list(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  auto path = std::string{"/api/v1/nodes?limit=500"};
  if (wanted.list.state)
    path += "&state=" + http_client::escaped(*wanted.list.state);
  auto rows = manner_in_use().plain ? nodes_table(0) : nodes_table();
  std::string before;
  std::string all;
  do {
    const auto answer = server.request("GET", path + (before.empty() ? "" : "&before=" + before));
    if (wanted.json) {
      const auto page = raw_member(answer.body, "nodes");
      if (page.size() < 2)
        throw command_error(exit_code::failed, "the server's answer holds no list of nodes");
      const auto elements = printable_json(page.substr(1, page.size() - 2));
      all += (all.empty() || elements.empty() ? "" : ",") + elements;
    } else {
      add_nodes(rows, answer.body);
      print(rows.take());
    }
    before = next_node(answer.body);
  } while (!before.empty());
  if (wanted.json)
    print("{\"nodes\":[" + all + "],\"next\":null}\n");
  return exit_code::ok;
}

exit_code run_node_by_name(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto path = "/api/v1/nodes/" + http_client::escaped(wanted.ids.front());
  std::string node;
  if (wanted.what == command::nodes_drain)
    node = wait_until_idle(server, path, server.request("POST", path + "/drain", "{}").body,
                           {"node", "draining"}, wanted);
  else if (wanted.what == command::nodes_quiet || wanted.what == command::nodes_terminate)
    node =
        steer_worker(server, path, wanted.what == command::nodes_quiet ? "/quiet" : "/terminate");
  else if (wanted.what == command::nodes_resume)
    node = server.request("POST", path + "/resume", "{}").body;
  else
    node = server.request("GET", path).body;
  print(wanted.json ? printable_json(node) + "\n" : node_details(node));
  return exit_code::ok;
}

} // namespace troupe::cli
