// /api/v1/retention: how long what is kept, and how jobs' ages are changed.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_admin.hpp"
#include "http/json_guard.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <string>
#include <utility>
#include <vector>

namespace troupe::http {

namespace {

response not_a_queue() {
  return problem_response(
      to_problem({errc::not_found, "there is no such queue: a name is " + std::string{name_form}}));
}

std::variant<change_ages, problem> read_ages(std::string_view body) {
  json_limits most;
  most.depth = 2;
  most.values = 8;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  const auto& root = std::get<json_value>(document);
  using kind = json_value::kind;
  if (root.type != kind::object || root.members.empty())
    return invalid_fields({{"", "must be an object with at least one age"}});
  change_ages ask;
  std::vector<field_error> errors;
  for (const auto& [key, value] : root.members) {
    std::string pointer;
    append_pointer(pointer, key);
    auto* age = key == "completed_ms"   ? &ask.completed
                : key == "cancelled_ms" ? &ask.cancelled
                : key == "discarded_ms" ? &ask.discarded
                                        : nullptr;
    if (age == nullptr)
      errors.push_back(
          {pointer, "no such field; ages are completed_ms, cancelled_ms and discarded_ms"});
    else if (value.type == kind::null)
      age->emplace();
    else if (value.type == kind::integer && value.integer >= 0
             && value.integer <= limits::longest_age_of_jobs.count())
      age->emplace(std::chrono::milliseconds{value.integer});
    else
      errors.push_back({pointer, "must be 0 to "
                                     + std::to_string(limits::longest_age_of_jobs.count())
                                     + " milliseconds, which is 3650 days, or null for ever"});
  }
  if (!errors.empty())
    return invalid_fields(std::move(errors));
  return ask;
}

void get(const services& context, const request_view&, responder respond) {
  context.ask->ask(get_retention{}, [respond = std::move(respond)](const api_reply& reply) {
    const auto* kept = std::get_if<retention_record>(&reply);
    respond(kept != nullptr ? json_response(200, retention_json(*kept, export_bounds{}))
                            : unexpected(reply));
  });
}

/// Of the queue of the path, or of all others when it names none.
void change(const services& context, const request_view& request, responder respond) {
  if (!request.param.empty() && !is_valid_name(request.param))
    return respond(not_a_queue());
  auto read = read_ages(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& ask = std::get<change_ages>(read);
  ask.queue = std::string{request.param};
  ask.by = by_whom(request);
  context.ask->ask(std::move(ask), [respond = std::move(respond)](const api_reply& reply) {
    const auto* ages = std::get_if<job_ages>(&reply);
    if (ages == nullptr)
      return respond(unexpected(reply));
    std::string body;
    append_ages(body, *ages);
    respond(json_response(200, std::move(body)));
  });
}

void forget(const services& context, const request_view& request, responder respond) {
  if (!is_valid_name(request.param))
    return respond(not_a_queue());
  context.ask->ask(forget_ages{std::string{request.param}, by_whom(request)},
                   [respond = std::move(respond)](const api_reply& reply) {
                     if (!std::holds_alternative<job_ages>(reply))
                       return respond(unexpected(reply));
                     response out;
                     out.status = 204;
                     respond(std::move(out));
                   });
}

} // namespace

void add_retention_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::get,
             .pattern = "/api/v1/retention",
             .role = role::viewer,
             .what = {"getRetention", "node",
                      "See how long what is kept, and how far the cleaning has come"},
             .answers = {{200, "Retention"}},
             .handle = bound(get)});
  const auto changes = [&](std::string_view pattern, queue_scope scope, operation what) {
    table.add({.verb = method::patch,
               .pattern = pattern,
               .role = role::admin,
               .scope = scope,
               .what = what,
               .answers = {{200, "QueueAges"}},
               .body = {"NewAges", limits.empty_body_bytes},
               .handle = bound(change)});
  };
  changes("/api/v1/retention", queue_scope::none,
          {"changeRetention", "node", "Change how long jobs that have ended are kept",
           "Of all queues without ages of their own. What is left out stays as it is."});
  changes("/api/v1/retention/{name}", queue_scope::path,
          {"changeQueueRetention", "node", "Change how long a queue's jobs are kept",
           "What was never said of the queue is as for all others at its first change, and stays "
           "so."});
  table.add({.verb = method::del,
             .pattern = "/api/v1/retention/{name}",
             .role = role::admin,
             .scope = queue_scope::path,
             .what = {"forgetQueueRetention", "node", "Keep a queue's jobs as long as all others"},
             .answers = {{204}},
             .handle = bound(forget)});
}

} // namespace troupe::http
