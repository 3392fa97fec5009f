// /api/v1/nodes: the nodes of this database, what each of them serves and runs.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/problem.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"
#include "http/time_format.hpp"

#include <utility>

namespace troupe::http {

namespace {

std::string number_or_null(const std::optional<int>& number) {
  return number ? std::to_string(*number) : "null";
}

void append_texts_or_null(std::string& out, const std::optional<std::vector<std::string>>& texts) {
  if (!texts) {
    out += "null";
    return;
  }
  out += '[';
  for (const auto& text : *texts) {
    if (out.back() == '"')
      out += ',';
    append_json_string(out, text);
  }
  out += ']';
}

void append_node(std::string& out, const node_record& node) {
  out += "{\"id\":\"" + std::to_string(node.id.value) + "\",\"name\":";
  append_json_string(out, node.name);
  out += ",\"state\":";
  append_json_string(out, to_string(node.state));
  out += ",\"version\":";
  if (node.version.empty())
    out += "null";
  else
    append_json_string(out, node.version);
  out += ",\"started_at\":";
  append_time_or_null(out, node.started_at);
  out += ",\"heartbeat_at\":";
  append_time_or_null(out, node.heartbeat_at);
  out += ",\"ended_at\":";
  append_time_or_null(out, node.ended_at);
  std::int64_t running = 0;
  for (const auto& queue : node.queues)
    running += queue.running;
  out += ",\"running\":" + std::to_string(running);
  out += ",\"slots\":" + number_or_null(node.slots) + ",\"queues\":[";
  for (const auto& queue : node.queues) {
    out += out.back() == '[' ? "{\"queue\":" : ",{\"queue\":";
    append_json_string(out, queue.queue);
    out += ",\"slots\":" + number_or_null(queue.slots);
    out += ",\"running\":" + std::to_string(queue.running) + '}';
  }
  out += "],\"kinds\":";
  append_texts_or_null(out, node.kinds);
  out += '}';
}

std::variant<list_nodes, response> read_list_query(std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  list_nodes ask;
  for (auto& [name, value] : *parameters) {
    if (name == "state") {
      ask.state = parse_node_state(value);
      if (!ask.state)
        return wrong_parameter("state", "must be alive, draining, silent, leaving, left or dead");
    } else if (name == "limit") {
      if (auto fault = read_page_size(value, limits::node_page, ask.limit))
        return std::move(*fault);
    } else if (name == "before") {
      const auto before = parse_id(value);
      if (!before)
        return wrong_parameter("before", "must be the id of a node's life");
      ask.before = node_id{before->value};
    } else {
      return wrong_parameter(name.substr(0, 64),
                             "there is none of this name; a list takes state, limit and before");
    }
  }
  return ask;
}

void list(const services& context, const request_view& request, responder respond) {
  auto read = read_list_query(request.query);
  if (auto* refused = std::get_if<response>(&read))
    return respond(std::move(*refused));
  context.ask->ask(std::get<list_nodes>(read),
                   [respond = std::move(respond)](const api_reply& reply) {
                     const auto* page = std::get_if<node_page>(&reply);
                     if (page == nullptr)
                       return respond(unexpected(reply));
                     std::string body = "{\"nodes\":[";
                     for (const auto& node : page->nodes) {
                       if (body.back() == '}')
                         body += ',';
                       append_node(body, node);
                     }
                     body += "],\"next\":";
                     body += page->next ? '"' + std::to_string(page->next->value) + '"' : "null";
                     respond(json_response(200, body + '}'));
                   });
}

response not_a_node(std::string_view name) {
  return problem_response(to_problem(
      {errc::not_found, "there is no node of the name " + std::string{name.substr(0, 128)}}));
}

void answer_with_node(const api_reply& reply, const responder& respond) {
  const auto* node = std::get_if<node_record>(&reply);
  if (node == nullptr)
    return respond(unexpected(reply));
  std::string body;
  append_node(body, *node);
  respond(json_response(200, std::move(body)));
}

void get(const services& context, const request_view& request, responder respond) {
  if (!is_valid_name(request.param))
    return respond(not_a_node(request.param));
  context.ask->ask(
      get_node{std::string{request.param}},
      [respond = std::move(respond)](const api_reply& reply) { answer_with_node(reply, respond); });
}

route_handler draining(const services& context, bool drain) {
  return [&context, drain](const request_view& request, responder respond) {
    if (!is_valid_name(request.param))
      return respond(not_a_node(request.param));
    if (auto fault = refuse_content(request.body))
      return respond(problem_response(*std::move(fault)));
    context.ask->ask(drain_node{std::string{request.param}, drain, by_whom(request)},
                     [respond = std::move(respond)](const api_reply& reply) {
                       answer_with_node(reply, respond);
                     });
  };
}

} // namespace

void add_node_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::get,
             .pattern = "/api/v1/nodes",
             .role = role::viewer,
             .what = {"listNodes", "nodes", "List nodes, the newest first",
                      "Each life of a node is one: those that are not over, or those in a state."},
             .answers = {{200, "NodePage"}},
             .query = {"NodeState", "NodePageSize", "BeforeNode"},
             .handle = bound(list)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/nodes/{name}",
             .role = role::viewer,
             .what = {"getNode", "nodes", "Look up the newest life of a node"},
             .answers = {{200, "Node"}},
             .handle = bound(get)});
  const auto steer = [&](std::string_view pattern, operation what, bool drain) {
    table.add({.verb = method::post,
               .pattern = pattern,
               .role = role::operator_,
               .what = what,
               .answers = {{200, "Node"}},
               .body = no_content(limits.empty_body_bytes),
               .problems = {409},
               .handle = draining(context, drain)});
  };
  steer("/api/v1/nodes/{name}/drain",
        {"drainNode", "nodes", "Hand out nothing more to a node",
         "What it runs it finishes; the drain is over when `running` is 0. The process goes on."},
        true);
  steer("/api/v1/nodes/{name}/resume", {"resumeNode", "nodes", "End a drain of a node"}, false);
}

} // namespace troupe::http
