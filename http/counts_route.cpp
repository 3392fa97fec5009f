// /api/v1/jobs/counts: how many jobs are in each state, by queue.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <utility>

namespace troupe::http {

namespace {

void append_counts(std::string& out, const job_counts& of) {
  out += "{\"queue\":";
  append_json_string(out, of.queue);
  for (const auto& [state, jobs] : counted_states) {
    out += ",\"";
    out += to_string(state);
    out += "\":" + std::to_string(of.*jobs);
  }
  out += '}';
}

std::string render(const counts_page& page) {
  std::string body = "{\"queues\":[";
  for (const auto& one : page.queues) {
    if (body.back() == '}')
      body += ',';
    append_counts(body, one);
  }
  body += "],\"next\":";
  if (page.next)
    append_json_string(body, *page.next);
  else
    body += "null";
  return body + '}';
}

void counts(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  get_counts ask;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::queue_page, ask.limit))
        return respond(std::move(*fault));
      continue;
    }
    if (name != "queue" && name != "after")
      return respond(wrong_parameter(
          name.substr(0, 64), "there is none of this name; counts take queue, or limit and after"));
    if (!is_valid_name(value))
      return respond(wrong_parameter(name, "must be " + std::string{name_form}));
    (name == "queue" ? ask.queue : ask.after) = std::move(value);
  }
  context.ask->ask(std::move(ask), [respond = std::move(respond)](const api_reply& reply) {
    const auto* page = std::get_if<counts_page>(&reply);
    respond(page != nullptr ? json_response(200, render(*page)) : unexpected(reply));
  });
}

} // namespace

void add_counts_route(router& table, const services& context) {
  table.add({.verb = method::get,
             .pattern = "/api/v1/jobs/counts",
             .role = role::viewer,
             .scope = queue_scope::filter,
             .what = {"countJobs", "jobs", "Count the jobs of each queue by their state"},
             .answers = {{200, "CountsPage"}},
             .query = {"Queue", "QueuePageSize", "AfterQueue"},
             .handle = [&context](const request_view& request, responder respond) {
               counts(context, request, std::move(respond));
             }});
}

} // namespace troupe::http
