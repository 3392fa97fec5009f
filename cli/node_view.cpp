#include "cli/node_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"

namespace troupe::cli {

namespace {

std::string told(const json& object, const char* name) {
  const auto text = field(object, name);
  return text.empty() ? "not told" : text;
}

std::string time_of(const json& node, const char* name) {
  const auto time = field(node, name);
  return time.empty() ? "-" : short_time(time);
}

/// "mail 1/2": one job of two slots.
std::string queues_of(const json& node) {
  std::string out;
  const auto queues = node.find("queues");
  if (queues == node.end() || !queues->is_array())
    return out;
  for (const auto& queue : *queues)
    if (queue.is_object()) {
      const auto slots = field(queue, "slots");
      out += (out.empty() ? "" : ", ") + field(queue, "queue") + " " + field(queue, "running") + "/"
             + (slots.empty() ? "?" : slots);
    }
  return out;
}

} // namespace

table nodes_table(int widest) {
  return table({{"NODE"},
                {"ID", true},
                {"STATE"},
                {"STARTED"},
                {"HEARTBEAT"},
                {"RUNNING", true},
                {"SLOTS", true},
                {"QUEUES"}},
               widest);
}

void add_nodes(table& to, std::string_view answer) {
  const auto page = read_object(answer);
  const auto nodes = page.find("nodes");
  if (nodes == page.end() || !nodes->is_array())
    throw command_error(exit_code::failed, "the server's answer holds no list of nodes");
  for (const auto& node : *nodes)
    if (node.is_object())
      to.add({field(node, "name"), field(node, "id"), field(node, "state"),
              time_of(node, "started_at"), time_of(node, "heartbeat_at"), field(node, "running"),
              told(node, "slots"), queues_of(node)});
}

std::string node_details(std::string_view text) {
  const auto node = read_object(text);
  table fields({{"FIELD"}, {"VALUE"}});
  fields.add({"name", field(node, "name")});
  fields.add({"id", field(node, "id")});
  fields.add({"state", field(node, "state")});
  fields.add({"version", told(node, "version")});
  fields.add({"started_at", time_of(node, "started_at")});
  fields.add({"heartbeat_at", time_of(node, "heartbeat_at")});
  if (const auto ended = field(node, "ended_at"); !ended.empty())
    fields.add({"ended_at", short_time(ended)});
  fields.add({"running", field(node, "running")});
  fields.add({"slots", told(node, "slots")});
  std::string kinds;
  if (const auto found = node.find("kinds"); found != node.end() && found->is_array())
    for (const auto& kind : *found)
      if (kind.is_string())
        kinds += (kinds.empty() ? "" : ", ") + kind.get<std::string>();
  fields.add({"kinds", kinds.empty() ? "not told" : kinds});
  auto out = fields.take();
  table rows({{"QUEUE"}, {"SLOTS", true}, {"RUNNING", true}});
  if (const auto queues = node.find("queues"); queues != node.end() && queues->is_array())
    for (const auto& queue : *queues)
      if (queue.is_object())
        rows.add({field(queue, "queue"), told(queue, "slots"), field(queue, "running")});
  if (!rows.empty())
    out += "\n" + rows.take();
  return out;
}

std::string next_node(std::string_view answer) {
  return field(read_object(answer), "next");
}

} // namespace troupe::cli
