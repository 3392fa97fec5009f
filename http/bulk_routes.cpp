// /api/v1/bulk: operations on many jobs; and PATCH of one job that waits.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_bulk.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <chrono>
#include <utility>

namespace troupe::http {

namespace {

void answer_with_bulk(int status, const api_reply& reply, const responder& respond) {
  const auto* operation = std::get_if<bulk_record>(&reply);
  if (operation == nullptr)
    return respond(unexpected(reply));
  if (operation->use == key_use::refused)
    return respond(reused_key());
  std::string body;
  append_bulk(body, *operation);
  auto out = json_response(status, std::move(body));
  if (status == 202)
    out.location = "/api/v1/bulk/" + std::to_string(operation->id);
  out.replayed = operation->use == key_use::replayed;
  respond(std::move(out));
}

void begin(const services& context, const request_view& request, responder respond) {
  auto key = read_idempotency_key(request);
  if (auto* refused = std::get_if<response>(&key))
    return respond(std::move(*refused));
  auto read = read_bulk(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& question = std::get<bulk_question>(read);
  if (auto refused = own_queue(question.what.to_queue.value_or("")))
    return respond(problem_response(*std::move(refused)));
  if (!question.dry_run)
    return context.ask->ask(start_bulk{std::move(question.what), by_whom(request),
                                       std::move(std::get<std::string>(key))},
                            [respond = std::move(respond)](const api_reply& reply) {
                              answer_with_bulk(202, reply, respond);
                            });
  context.ask->ask(preview_bulk{std::move(question.what)}, [respond = std::move(respond)](
                                                               const api_reply& reply) {
    const auto* preview = std::get_if<bulk_preview>(&reply);
    respond(preview != nullptr ? json_response(200, preview_json(*preview)) : unexpected(reply));
  });
}

response not_a_bulk(std::string_view id) {
  return problem_response(
      to_problem({errc::not_found, "there is no bulk operation " + std::string{id.substr(0, 32)}}));
}

template<class Question>
route_handler about_bulk(const services& context) {
  return [&context](const request_view& request, responder respond) {
    const auto id = parse_id(request.param);
    if (!id)
      return respond(not_a_bulk(request.param));
    if (auto fault = refuse_content(request.body))
      return respond(problem_response(*std::move(fault)));
    Question question{id->value};
    if constexpr (requires { question.by; })
      question.by = by_whom(request);
    context.ask->ask(std::move(question), [respond = std::move(respond)](const api_reply& reply) {
      answer_with_bulk(200, reply, respond);
    });
  };
}

void list(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  list_bulks ask;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::bulk_page, ask.limit))
        return respond(std::move(*fault));
    } else if (name == "before") {
      const auto before = parse_id(value);
      if (!before)
        return respond(wrong_parameter("before", "must be the id of an operation"));
      ask.before = before->value;
    } else {
      return respond(wrong_parameter(name.substr(0, 64),
                                     "there is none of this name; a list takes limit and before"));
    }
  }
  context.ask->ask(ask, [respond = std::move(respond)](const api_reply& reply) {
    const auto* page = std::get_if<bulk_page>(&reply);
    if (page == nullptr)
      return respond(unexpected(reply));
    std::string body = "{\"operations\":[";
    for (const auto& operation : page->operations) {
      if (body.back() == '}')
        body += ',';
      append_bulk(body, operation);
    }
    body += "],\"next\":" + (page->next ? '"' + std::to_string(*page->next) + '"' : "null");
    respond(json_response(200, body + '}'));
  });
}

void edit(const services& context, const request_view& request, responder respond) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(not_a_job(request.param));
  auto read = read_edit(request.body, std::chrono::time_point_cast<std::chrono::microseconds>(
                                          std::chrono::system_clock::now()));
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& ask = std::get<edit_job>(read);
  if (auto refused = own_queue(ask.queue.value_or("")))
    return respond(problem_response(*std::move(refused)));
  if (ask.queue && !covers(request.who, *ask.queue))
    return respond(outside_scope(request.who->name, *ask.queue));
  ask.id = *id;
  ask.by = by_whom(request);
  context.ask->ask(std::move(ask), [respond = std::move(respond)](const api_reply& reply) {
    const auto* job = std::get_if<job_record>(&reply);
    respond(job != nullptr ? render_job(200, *job) : unexpected(reply));
  });
}

} // namespace

void add_bulk_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::post,
             .pattern = "/api/v1/bulk",
             .role = role::operator_,
             .what = {"startBulk", "bulk", "Begin an operation on many jobs",
                      "With `dry_run` 200, and nothing is changed."},
             .answers = {{202, "BulkOperation"}, {200, "BulkPreview"}},
             .headers = {"IdempotencyKey"},
             .body = {"NewBulk", limits.job_body_bytes},
             .problems = {409, 422},
             .handle = bound(begin)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/bulk",
             .role = role::viewer,
             .what = {"listBulks", "bulk", "List operations, newest first"},
             .answers = {{200, "BulkPage"}},
             .query = {"BulkPageSize", "Before"},
             .handle = bound(list)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/bulk/{id}",
             .role = role::viewer,
             .what = {"getBulk", "bulk", "See how far an operation is"},
             .answers = {{200, "BulkOperation"}},
             .handle = about_bulk<get_bulk>(context)});
  table.add({.verb = method::post,
             .pattern = "/api/v1/bulk/{id}/cancel",
             .role = role::operator_,
             .what = {"cancelBulk", "bulk", "Do nothing more of an operation"},
             .answers = {{200, "BulkOperation"}},
             .body = no_content(limits.empty_body_bytes),
             .problems = {409},
             .handle = about_bulk<cancel_bulk>(context)});
  table.add(
      {.verb = method::patch,
       .pattern = "/api/v1/jobs/{id}",
       .role = role::operator_,
       .scope = queue_scope::job,
       .what = {"editJob", "jobs", "Change a job that waits", "What is left out stays as it is."},
       .answers = {{200, "Job"}},
       .body = {"JobChanges", limits.job_body_bytes},
       .problems = {409},
       .handle = bound(edit)});
}

} // namespace troupe::http
