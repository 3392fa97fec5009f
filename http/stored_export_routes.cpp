// /api/v1/exports and below: exports that are kept, and their files by ranges.
#include "http/byte_range.hpp"
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_export.hpp"
#include "http/preconditions.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::http {

namespace {

response failed_answer(const failure& why) {
  return problem_response(to_problem(why));
}

response not_an_export(std::string_view id) {
  return failed_answer({errc::not_found, "there is no export " + std::string{id.substr(0, 32)}});
}

/// Whether this token may see, and end, an export of these jobs.
bool covers_export(const token_identity* who, const export_order& order) {
  return !is_scoped(who) || (order.what.filter.queue && covers(who, *order.what.filter.queue));
}

response outside(const token_identity& who, const export_order& order) {
  if (order.what.filter.queue)
    return outside_scope(who.name, *order.what.filter.queue);
  return problem_response(make_problem(
      403, "queue_not_allowed",
      "the token " + who.name + " is for some queues: exports have to name one of them by queue"));
}

std::string place_of(job_id id) {
  return "/api/v1/exports/" + std::to_string(id.value);
}

void create(const services& context, const request_view& request, responder respond) {
  auto key = read_idempotency_key(request);
  if (auto* refused = std::get_if<response>(&key))
    return respond(std::move(*refused));
  auto read = read_export(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& order = std::get<export_order>(read);
  if (!covers_export(request.who, order))
    return respond(outside(*request.who, order));
  auto* port = context.stored_exports;
  port->start(std::move(order), std::move(std::get<std::string>(key)),
              [port, respond = std::move(respond)](const result_or<started_export>& told) {
                if (const auto* why = std::get_if<failure>(&told))
                  return respond(failed_answer(*why));
                const auto [id, use] = std::get<started_export>(told);
                if (use == key_use::refused)
                  return respond(reused_key());
                port->find(id,
                           [id = id, use = use, respond](const result_or<export_record>& found) {
                             if (const auto* why = std::get_if<failure>(&found))
                               return respond(failed_answer(*why));
                             std::string body;
                             append_export(body, std::get<export_record>(found));
                             auto out = json_response(202, std::move(body));
                             out.location = place_of(id);
                             out.replayed = use == key_use::replayed;
                             respond(std::move(out));
                           });
              });
}

void list(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  list_exports ask;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::export_page, ask.limit))
        return respond(std::move(*fault));
    } else if (name == "before") {
      const auto before = parse_id(value);
      if (!before)
        return respond(wrong_parameter("before", "must be the id of an export"));
      ask.before = *before;
    } else if (name == "queue") {
      if (!is_valid_name(value))
        return respond(wrong_parameter("queue", "must be " + std::string{name_form}));
      ask.queue = std::move(value);
    } else {
      return respond(wrong_parameter(
          name.substr(0, 64), "there is none of this name; a list takes queue, limit and before"));
    }
  }
  context.stored_exports->list(std::move(ask),
                               [respond = std::move(respond)](const result_or<export_page>& told) {
                                 const auto* page = std::get_if<export_page>(&told);
                                 respond(page != nullptr ? json_response(200, exports_json(*page))
                                                         : failed_answer(std::get<failure>(told)));
                               });
}

/// The export that the path names, if the token is for it; whatever else it is, is answered.
void with_export(const services& context, const request_view& request, const responder& respond,
                 std::function<void(const export_record&)> then) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(not_an_export(request.param));
  std::optional<token_identity> who;
  if (request.who != nullptr)
    who = *request.who;
  context.stored_exports->find(*id, [who = std::move(who), respond, then = std::move(then)](
                                        const result_or<export_record>& found) {
    if (const auto* why = std::get_if<failure>(&found))
      return respond(failed_answer(*why));
    const auto& one = std::get<export_record>(found);
    if (who && !covers_export(&*who, one.order))
      return respond(outside(*who, one.order));
    then(one);
  });
}

void show(const services& context, const request_view& request, const responder& respond) {
  with_export(context, request, respond, [respond](const export_record& one) {
    std::string body;
    append_export(body, one);
    respond(json_response(200, std::move(body)));
  });
}

bool has_ended(job_state state) {
  return state == job_state::completed || state == job_state::cancelled
         || state == job_state::discarded;
}

/// One that has not ended is cancelled first: nobody waits for it, and what it has written goes.
void remove(const services& context, const request_view& request, const responder& respond) {
  with_export(context, request, respond,
              [ask = context.ask, by = by_whom(request), respond](const export_record& one) {
                const auto answered = [respond, id = one.id](const api_reply& reply) {
                  if (const auto* why = std::get_if<failure>(&reply);
                      why != nullptr || std::holds_alternative<job_record>(reply)
                      || std::holds_alternative<deleted_job>(reply)) {
                    if (why != nullptr)
                      return respond(failed_answer(*why));
                    response out;
                    out.status = 204;
                    return respond(std::move(out));
                  }
                  respond(unexpected(reply));
                };
                if (has_ended(one.state))
                  ask->ask(delete_job{one.id, by}, answered);
                else
                  ask->ask(cancel_job{one.id, by}, answered);
              });
}

response without_file(const export_record& one) {
  const auto name = "export " + std::to_string(one.id.value);
  if (one.state == job_state::completed)
    return problem_response(make_problem(410, "export_gone", name + " has expired; make another"));
  if (has_ended(one.state))
    return problem_response(make_problem(409, "export_failed",
                                         name + " was " + std::string{to_string(one.state)}
                                             + (one.error.empty() ? "" : ": " + one.error)));
  auto fault = make_problem(409, "export_unfinished",
                            name + " is not finished; it is " + std::string{to_string(one.state)});
  fault.retryable = true;
  fault.retry_after = 1;
  return problem_response(std::move(fault));
}

std::string_view type_of(const export_order& order) {
  if (order.gzip)
    return "application/gzip";
  switch (order.what.format) {
  case export_format::csv:
    return "text/csv; charset=utf-8; header=present";
  case export_format::json:
    return "application/json";
  case export_format::ndjson:
    break;
  }
  return "application/x-ndjson";
}

/// What the head of the request says of the file.
struct file_wish {
  bool head_only = false;
  std::optional<tag_list> matches;
  std::optional<tag_list> matches_none;
  std::vector<std::pair<std::string, std::string>> ranges; ///< Range and If-Range
};

wanted_range range_of(const file_wish& wish, std::int64_t size, std::string_view tag) {
  request_head head;
  for (const auto& [name, value] : wish.ranges)
    head.fields.push_back({name, value});
  return wish.head_only ? wanted_range{} : wanted_of(head, size, tag); // a range is of GET alone
}

response file_answer(stored_export_port& port, const export_record& one, const file_wish& wish) {
  const auto& file = *one.file;
  response out;
  out.etag = '"' + file.sha256 + '"';
  out.takes_ranges = true;
  if (wish.matches && !wish.matches->any
      && !std::any_of(wish.matches->tags.begin(), wish.matches->tags.end(),
                      [&](const entity_tag& tag) { return !tag.weak && tag.text == file.sha256; }))
    return problem_response(make_problem(412, "stale", "If-Match names another file"));
  if (wish.matches_none && wish.matches_none->names(file.sha256)) {
    out.status = 304;
    return out;
  }
  const auto wanted = range_of(wish, file.bytes, out.etag);
  if (std::holds_alternative<no_range>(wanted)) {
    auto refused = problem_response(make_problem(
        416, "range_not_satisfiable", "the file has " + std::to_string(file.bytes) + " bytes"));
    refused.content_range = content_range_of_none(file.bytes);
    refused.takes_ranges = true;
    return refused;
  }
  byte_range range{0, file.bytes};
  if (const auto* part = std::get_if<byte_range>(&wanted)) {
    range = *part;
    out.status = 206;
    out.content_range = content_range(range, file.bytes);
  }
  out.content_type = type_of(one.order);
  out.file = "jobs-" + std::to_string(one.id.value) + '.'
             + std::string{to_string(one.order.what.format)} + (one.order.gzip ? ".gz" : "");
  out.streamed = true;
  out.length = static_cast<std::uint64_t>(range.end - range.begin);
  if (!wish.head_only)
    out.stream = port.read(one.id, file, range.begin, range.end);
  return out;
}

void download(const services& context, const request_view& request, const responder& respond) {
  file_wish wish;
  wish.head_only = request.verb == method::head;
  for (const auto& [name, into] :
       {std::pair{"If-Match", &wish.matches}, {"If-None-Match", &wish.matches_none}}) {
    auto tags = read_tags(request, name);
    if (auto* refused = std::get_if<response>(&tags))
      return respond(std::move(*refused));
    *into = std::get<std::optional<tag_list>>(std::move(tags));
  }
  for (const auto& field : request.head->fields)
    if (iequals(field.name, "Range") || iequals(field.name, "If-Range"))
      wish.ranges.emplace_back(field.name, field.value);
  with_export(
      context, request, respond,
      [port = context.stored_exports, wish = std::move(wish), respond](const export_record& one) {
        respond(one.file ? file_answer(*port, one, wish) : without_file(one));
      });
}

} // namespace

void add_stored_export_routes(router& table, const services& context, const server_limits& limits) {
  if (context.stored_exports == nullptr)
    return;
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::post,
             .pattern = "/api/v1/exports",
             .role = role::producer,
             .scope = queue_scope::body,
             .what = {"startExport", "exports", "Make an export that is kept",
                      "A job makes it; its file is there when `file` is, for a day."},
             .answers = {{202, "Export"}},
             .headers = {"IdempotencyKey"},
             .body = {"NewExport", limits.export_body_bytes},
             .problems = {409, 422},
             .handle = bound(create)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/exports",
             .role = role::viewer,
             .scope = queue_scope::filter,
             .what = {"listExports", "exports", "List exports, newest first"},
             .answers = {{200, "Exports"}},
             .query = {"ExportQueue", "ExportPageSize", "BeforeExport"},
             .handle = bound(list)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/exports/{id}",
             .role = role::viewer,
             .scope = queue_scope::body,
             .what = {"getExport", "exports", "Look at an export"},
             .answers = {{200, "Export"}},
             .handle = bound(show)});
  table.add({.verb = method::del,
             .pattern = "/api/v1/exports/{id}",
             .role = role::operator_,
             .scope = queue_scope::body,
             .what = {"deleteExport", "exports", "Remove an export, or cancel one that is made"},
             .answers = {{204}},
             .problems = {409},
             .handle = bound(remove)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/exports/{id}/file",
             .role = role::viewer,
             .scope = queue_scope::body,
             .what = {"getExportFile", "exports", "The file of an export, or a range of it",
                      "One range by `Range`; several, and what is none, are answered with the "
                      "whole."},
             .answers = answer_forms::of({{200, "Text", "application/x-ndjson"},
                                          {200, "Text", "text/csv"},
                                          {200, "Jobs", "application/json"},
                                          {200, "File", "application/gzip"},
                                          {206, "File", "application/x-ndjson"},
                                          {206, "File", "text/csv"},
                                          {206, "File", "application/json"},
                                          {206, "File", "application/gzip"},
                                          {304}}),
             .headers = {"Range", "IfRange", "IfMatch", "IfNoneMatch"},
             .problems = {409, 410, 412, 416},
             .handle = bound(download)});
}

} // namespace troupe::http
