// /api/v1/jobs/{id}/why: the one thing that holds a job, with the figures that belong to it.
#include "http/job_answers.hpp"
#include "http/json_members.hpp"
#include "http/problem.hpp"
#include "http/routes.hpp"
#include "http/time_format.hpp"

#include <utility>

namespace troupe::http {

namespace {

std::string render(const job_hold& hold) {
  std::string out = "{\"id\":\"" + std::to_string(hold.id.value) + '"';
  append_text_or_null(out, "state", to_string(hold.state));
  append_text_or_null(out, "reason", to_string(hold.reason));
  append_text_or_null(out, "queue", hold.queue);
  append_text_or_null(out, "kind", hold.kind);
  append_text_or_null(out, "limit_key", hold.limit_key);
  append_text_or_null(out, "node", hold.node);
  append_time_of(out, "since", hold.since);
  append_time_of(out, "due_at", hold.due_at);
  append_number(out, "allowed", hold.allowed);
  append_number(out, "in_use", hold.in_use);
  append_number(out, "ahead", hold.ahead);
  out += hold.more_ahead ? ",\"more_ahead\":true" : ",\"more_ahead\":false";
  append_number(out, "nodes", hold.nodes);
  append_text_or_null(out, "error", hold.error);
  append_text_or_null(out, "holder",
                      hold.holder ? std::to_string(hold.holder->value) : std::string{});
  return out + '}';
}

} // namespace

void add_why_route(router& table, const services& context) {
  table.add(
      {.verb = method::get,
       .pattern = "/api/v1/jobs/{id}/why",
       .role = role::viewer,
       .scope = queue_scope::job,
       .what = {"explainJob", "jobs", "Say what holds a job"},
       .answers = {{200, "JobHold"}},
       .handle = [&context](const request_view& request, responder respond) {
         const auto id = parse_id(request.param);
         if (!id)
           return respond(not_a_job(request.param));
         context.ask->ask(explain_job{*id}, [respond = std::move(respond)](const api_reply& reply) {
           const auto* hold = std::get_if<job_hold>(&reply);
           respond(hold != nullptr ? json_response(200, render(*hold)) : unexpected(reply));
         });
       }});
}

} // namespace troupe::http
