// nodes: HTTP to a running server.
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/node_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

namespace troupe::cli {

exit_code run_nodes_list(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  auto path = std::string{"/api/v1/nodes?limit=500"};
  if (wanted.list.state)
    path += "&state=" + http_client::escaped(*wanted.list.state);
  auto rows = nodes_table();
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

exit_code run_nodes_show(const invocation& wanted) {
  exit_on_interrupt();
  http_client server(wanted.client);
  const auto node =
      server.request("GET", "/api/v1/nodes/" + http_client::escaped(wanted.ids.front())).body;
  print(wanted.json ? printable_json(node) + "\n" : node_details(node));
  return exit_code::ok;
}

} // namespace troupe::cli
