// /api/v1/jobs: from requests to questions for the engine, and from its answers to JSON. Answers
// are rendered on the thread that brings them, so that the loop only moves bytes.
#include "http/cursor.hpp"
#include "http/filter_fields.hpp"
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace troupe::http {

response unexpected(const api_reply& reply) {
  if (const auto* failed = std::get_if<failure>(&reply))
    return problem_response(to_problem(*failed));
  return problem_response(
      to_problem({errc::internal, "the engine gave an answer of another kind"}));
}

response not_a_job(std::string_view id) {
  return problem_response(to_problem(
      {errc::not_found, "there is no job with the id " + std::string{id.substr(0, 32)}}));
}

response render_job(int status, const job_record& job, chosen_fields wanted) {
  std::string body;
  body.reserve(512 + job.args.size());
  append_job(body, job, true, wanted);
  auto out = json_response(status, std::move(body));
  if (status == 201)
    out.location = "/api/v1/jobs/" + std::to_string(job.id.value);
  return out;
}

namespace {

void answer_with_job(int status, const api_reply& reply, const responder& respond) {
  const auto* job = std::get_if<job_record>(&reply);
  respond(job != nullptr ? render_job(status, *job) : unexpected(reply));
}

struct list_question {
  list_jobs ask;
  std::string cursor;
  chosen_fields fields = {};
};

/// They may be large, and lie apart: whoever reads the rest only does not pay for them.
bool wants_args(chosen_fields fields) {
  const auto names = job_fields(true); // of a list they are the first ones of these
  return fields.has(
      static_cast<std::size_t>(std::find(names.begin(), names.end(), "args") - names.begin()));
}

std::variant<list_question, response> read_list_query(std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  list_question out;
  for (auto& [name, value] : *parameters) {
    std::optional<response> wrong;
    if (read_filter(name, value, out.ask.filter, wrong)) {
      if (wrong)
        return *std::move(wrong);
    } else if (name == "limit") {
      if (auto fault = read_page_size(value, limits::page_size, out.ask.limit))
        return std::move(*fault);
    } else if (name == "cursor") {
      out.cursor = std::move(value);
    } else if (name == "fields") {
      auto fields = read_fields(value, job_fields(false));
      if (auto* fault = std::get_if<response>(&fields))
        return std::move(*fault);
      out.fields = std::get<chosen_fields>(fields);
      out.ask.args = wants_args(out.fields);
    } else {
      return wrong_parameter(name.substr(0, 64), "there is none of this name; a list takes "
                                                     + std::string{filter_parameters}
                                                     + ", fields, limit and cursor");
    }
  }
  if (!out.cursor.empty()) {
    const auto before = read_cursor(out.cursor, out.ask.filter);
    if (!before)
      return wrong_parameter("cursor", "this is not a cursor of a list with these filters");
    out.ask.before = *before;
  }
  return out;
}

/// A page whose text would pass `most` bytes ends early; its cursor goes on where it ended.
std::string render_page(const job_page& page, const job_filter& filter, chosen_fields fields,
                        std::size_t most) {
  std::string out = "{\"jobs\":[";
  out.reserve(64 + page.jobs.size() * 320);
  auto next = page.next;
  for (std::size_t i = 0; i < page.jobs.size(); ++i) {
    if (i > 0 && out.size() >= most) {
      next = page.jobs[i - 1].id;
      break;
    }
    if (i > 0)
      out += ',';
    append_job(out, page.jobs[i], false, fields);
  }
  out += "],\"next\":";
  out += next ? '"' + make_cursor(*next, filter) + '"' : "null";
  out += '}';
  return out;
}

route_handler list(const services& context, std::size_t most) {
  return [&context, most](const request_view& request, responder respond) {
    auto read = read_list_query(request.query);
    if (auto* refused = std::get_if<response>(&read))
      return respond(std::move(*refused));
    auto& [question, cursor, fields] = std::get<list_question>(read);
    auto render = [respond = std::move(respond), filter = question.filter, wanted = fields,
                   most](const api_reply& reply) {
      const auto* page = std::get_if<job_page>(&reply);
      respond(page != nullptr ? json_response(200, render_page(*page, filter, wanted, most))
                              : unexpected(reply));
    };
    context.ask->ask(std::move(question), std::move(render));
  };
}

void get(const services& context, const request_view& request, responder respond) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(not_a_job(request.param));
  auto wanted = read_fields_only("job", request.query, job_fields(true));
  if (auto* refused = std::get_if<response>(&wanted))
    return respond(std::move(*refused));
  const auto fields = std::get<chosen_fields>(wanted);
  context.ask->ask(get_job{*id, wants_args(fields)},
                   [respond = std::move(respond), fields](const api_reply& reply) {
                     const auto* job = std::get_if<job_record>(&reply);
                     respond(job != nullptr ? render_job(200, *job, fields) : unexpected(reply));
                   });
}

/// cancel and retry: a question about one job, answered with the job.
template<class Question>
route_handler about_job(const services& context) {
  return [&context](const request_view& request, responder respond) {
    const auto id = parse_id(request.param);
    if (!id)
      return respond(not_a_job(request.param));
    if (auto fault = refuse_content(request.body))
      return respond(problem_response(*std::move(fault)));
    Question question{*id};
    if constexpr (requires { question.by; })
      question.by = by_whom(request);
    context.ask->ask(std::move(question), [respond = std::move(respond)](const api_reply& reply) {
      answer_with_job(200, reply, respond);
    });
  };
}

std::variant<get_log, response> read_log_query(job_id id, std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  get_log ask{id};
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::log_page, ask.limit))
        return std::move(*fault);
    } else if (name == "after") {
      const auto after = value == "0" ? job_id{} : parse_id(value); // 0: from the first
      if (!after)
        return wrong_parameter("after", "must be the number of a line");
      ask.after = after->value;
    } else {
      return wrong_parameter(name.substr(0, 64),
                             "there is none of this name; a log takes limit and after");
    }
  }
  return ask;
}

void logs(const services& context, const request_view& request, responder respond) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(not_a_job(request.param));
  auto read = read_log_query(*id, request.query);
  if (auto* refused = std::get_if<response>(&read))
    return respond(std::move(*refused));
  context.ask->ask(std::get<get_log>(read), [respond = std::move(respond)](const api_reply& reply) {
    const auto* page = std::get_if<log_page>(&reply);
    respond(page != nullptr ? json_response(200, log_json(*page)) : unexpected(reply));
  });
}

void remove(const services& context, const request_view& request, responder respond) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(not_a_job(request.param));
  context.ask->ask(delete_job{*id, by_whom(request)},
                   [respond = std::move(respond)](const api_reply& reply) {
                     if (!std::holds_alternative<deleted_job>(reply))
                       return respond(unexpected(reply));
                     response out;
                     out.status = 204;
                     respond(std::move(out));
                   });
}

} // namespace

void add_job_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::get,
             .pattern = "/api/v1/jobs",
             .role = role::viewer,
             .scope = queue_scope::filter,
             .what = {"listJobs", "jobs", "List jobs, newest first",
                      "With `tag`, `limit_key`, `created_from`, `created_before` or `args` it is a "
                      "search: a page may hold fewer jobs than its limit, or none, and `next` goes "
                      "on from there."},
             .answers = {{200, "JobPage"}},
             .query = {"State", "Queue", "Kind", "Tag", "LimitKey", "CreatedFrom", "CreatedBefore",
                       "ContainedArgs", "ListedJobFields", "JobPageSize", "Cursor"},
             .handle = list(context, limits.page_bytes)});
  add_enqueue_routes(table, context, limits);
  add_counts_route(table, context);
  table.add({.verb = method::get,
             .pattern = "/api/v1/jobs/{id}",
             .role = role::viewer,
             .scope = queue_scope::job,
             .what = {"getJob", "jobs", "Look up one job, with its attempts"},
             .answers = {{200, "SomeOfJob"}},
             .query = {"JobFields"},
             .handle = bound(get)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/jobs/{id}/logs",
             .role = role::viewer,
             .scope = queue_scope::job,
             .what = {"getJobLog", "jobs", "Read what a job's runs said, oldest first"},
             .answers = {{200, "LogPage"}},
             .query = {"LogPageSize", "AfterLine"},
             .handle = bound(logs)});
  add_why_route(table, context);
  table.add({.verb = method::del,
             .pattern = "/api/v1/jobs/{id}",
             .role = role::operator_,
             .scope = queue_scope::job,
             .what = {"deleteJob", "jobs", "Delete a job that does not run"},
             .answers = {{204}},
             .problems = {409},
             .handle = bound(remove)});
  table.add({.verb = method::post,
             .pattern = "/api/v1/jobs/{id}/cancel",
             .role = role::operator_,
             .scope = queue_scope::job,
             .what = {"cancelJob", "jobs", "Cancel a job that has not ended"},
             .answers = {{200, "Job"}},
             .body = no_content(limits.empty_body_bytes),
             .problems = {409},
             .handle = about_job<cancel_job>(context)});
  table.add({.verb = method::post,
             .pattern = "/api/v1/jobs/{id}/retry",
             .role = role::operator_,
             .scope = queue_scope::job,
             .what = {"retryJob", "jobs", "Make a job available now, once more if it had ended"},
             .answers = {{200, "Job"}},
             .body = no_content(limits.empty_body_bytes),
             .problems = {409},
             .handle = about_job<retry_job>(context)});
}

} // namespace troupe::http
