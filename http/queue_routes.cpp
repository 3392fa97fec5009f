// /api/v1/queues: pause, resume, drain and limits.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_guard.hpp"
#include "http/json_queue.hpp"
#include "http/preconditions.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"
#include "http/time_format.hpp"

#include <charconv>
#include <utility>

namespace troupe::http {

namespace {

response not_a_queue(std::string_view name) {
  return problem_response(to_problem(
      {errc::not_found, "there is no queue of the name " + std::string{name.substr(0, 128)}}));
}

/// What is said of a queue has a version; what waits and runs has none.
std::string tag_of(const queue_record& queue) {
  return std::to_string(queue.version);
}

void answer_with_queue(const api_reply& reply, const responder& respond, chosen_fields fields = {},
                       const std::optional<tag_list>& known = {}) {
  const auto* queue = std::get_if<queue_record>(&reply);
  if (queue == nullptr)
    return respond(unexpected(reply));
  response out;
  out.etag = '"' + tag_of(*queue) + '"';
  out.keep = false; // a browser would go on showing what waited when it asked first
  if (known && known->names(tag_of(*queue)))
    out.status = 304;
  else
    append_queue(out.body, *queue, fields);
  respond(std::move(out));
}

/// The versions that If-Match names: a weak tag is none, and one that is not ours is no version.
std::variant<std::optional<queue_versions>, response> read_versions(const request_view& request) {
  auto read = read_tags(request, "If-Match");
  auto none_of = read_tags(request, "If-None-Match");
  for (auto* each : {&read, &none_of})
    if (auto* refused = std::get_if<response>(each))
      return std::move(*refused);
  if (std::get<std::optional<tag_list>>(none_of)) {
    auto fault = invalid_fields({});
    fault.detail = "header If-None-Match: what changes a queue takes If-Match";
    return problem_response(std::move(fault));
  }
  const auto& tags = std::get<std::optional<tag_list>>(read);
  if (!tags)
    return std::optional<queue_versions>{};
  queue_versions out;
  out.any = tags->any;
  for (const auto& [text, weak] : tags->tags) {
    std::int64_t version = 0;
    const char* last = text.data() + text.size();
    const auto [end, ec] = std::from_chars(text.data(), last, version);
    if (!weak && ec == std::errc{} && end == last && std::to_string(version) == text)
      out.one_of.push_back(version);
  }
  return std::optional{std::move(out)};
}

void list(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  list_queues ask;
  chosen_fields wanted;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::queue_page, ask.limit))
        return respond(std::move(*fault));
    } else if (name == "after") {
      if (!is_valid_name(value))
        return respond(wrong_parameter("after", "must be " + std::string{name_form}));
      ask.after = std::move(value);
    } else if (name == "fields") {
      auto fields = read_fields(value, queue_fields());
      if (auto* fault = std::get_if<response>(&fields))
        return respond(std::move(*fault));
      wanted = std::get<chosen_fields>(fields);
    } else {
      return respond(wrong_parameter(
          name.substr(0, 64), "there is none of this name; a list takes fields, limit and after"));
    }
  }
  context.ask->ask(std::move(ask), [respond = std::move(respond), wanted](const api_reply& reply) {
    const auto* page = std::get_if<queue_page>(&reply);
    if (page == nullptr)
      return respond(unexpected(reply));
    std::string body = "{\"queues\":[";
    for (const auto& queue : page->queues) {
      if (body.back() == '}')
        body += ',';
      append_queue(body, queue, wanted);
    }
    body += "],\"next\":";
    if (page->next)
      append_json_string(body, *page->next);
    else
      body += "null";
    respond(json_response(200, body + '}'));
  });
}

void get(const services& context, const request_view& request, responder respond) {
  if (!is_valid_name(request.param))
    return respond(not_a_queue(request.param));
  auto wanted = read_fields_only("queue", request.query, queue_fields());
  if (auto* refused = std::get_if<response>(&wanted))
    return respond(std::move(*refused));
  auto known = read_tags(request, "If-None-Match");
  if (auto* refused = std::get_if<response>(&known))
    return respond(std::move(*refused));
  context.ask->ask(
      get_queue{std::string{request.param}},
      [respond = std::move(respond), fields = std::get<chosen_fields>(wanted),
       known = std::move(std::get<std::optional<tag_list>>(known))](const api_reply& reply) {
        answer_with_queue(reply, respond, fields, known);
      });
}

/// Whether a queue that is not there is to be made.
std::variant<bool, response> read_create(std::string_view query) {
  const auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  bool create = false;
  for (const auto& [name, value] : *parameters) {
    if (name != "create")
      return wrong_parameter(name.substr(0, 64), "there is none of this name; this takes create");
    if (value != "true" && value != "false")
      return wrong_parameter("create", "must be true or false");
    create = value == "true";
  }
  return create;
}

/// Puts a question that would make its queue when there is none: unless it may, it looks first.
/// Queues do not go away, so nothing can come between.
template<class Question>
void steer(const services& context, Question question, bool create, responder respond) {
  auto name = question.name;
  auto put = [&context, question = std::move(question), respond] {
    context.ask->ask(question,
                     [respond](const api_reply& reply) { answer_with_queue(reply, respond); });
  };
  if (create)
    return put();
  context.ask->ask(get_queue{name}, [put = std::move(put), name,
                                     respond = std::move(respond)](const api_reply& reply) {
    const auto* failed = std::get_if<failure>(&reply);
    if (failed != nullptr && failed->code == errc::not_found)
      return respond(problem_response(
          to_problem({errc::not_found, "there is no queue of the name " + name
                                           + "; with create=true in the query it is made"})));
    if (!std::holds_alternative<queue_record>(reply))
      return respond(unexpected(reply));
    put();
  });
}

/// Pauses or resumes the queue of the path.
route_handler pausing(const services& context, bool paused) {
  return [&context, paused](const request_view& request, responder respond) {
    if (!is_valid_name(request.param))
      return respond(not_a_queue(request.param));
    if (auto fault = refuse_content(request.body))
      return respond(problem_response(*std::move(fault)));
    auto only_at = read_versions(request);
    if (auto* refused = std::get_if<response>(&only_at))
      return respond(std::move(*refused));
    // A resume makes no queue.
    const auto create = paused ? read_create(request.query) : std::variant<bool, response>{true};
    if (const auto* refused = std::get_if<response>(&create))
      return respond(*refused);
    pause_queue question{std::string{request.param}, paused,
                         std::move(std::get<std::optional<queue_versions>>(only_at)),
                         by_whom(request)};
    steer(context, std::move(question), std::get<bool>(create), std::move(respond));
  };
}

using kind = json_value::kind;

/// Collects what is wrong with limits, with a pointer to each.
class limits_reader {
public:
  std::optional<int> number(const json_value& value, const std::string& pointer,
                            std::int64_t most) {
    if (value.type == kind::integer && value.integer >= 1 && value.integer <= most)
      return static_cast<int>(value.integer);
    fail(pointer, "must be an integer from 1 to " + std::to_string(most));
    return std::nullopt;
  }

  std::optional<int> limit(const json_value& value, const std::string& pointer, int most) {
    if (value.type == kind::null)
      return std::nullopt;
    return number(value, pointer, most);
  }

  std::optional<job_rate> rate(const json_value& value, const std::string& pointer) {
    if (value.type == kind::null)
      return std::nullopt;
    if (value.type != kind::object) {
      fail(pointer, "must be an object with jobs, period_ms and burst, or null for no limit");
      return std::nullopt;
    }
    job_rate out;
    bool counted = false;
    for (const auto& [key, part] : value.members) {
      auto at = pointer;
      append_pointer(at, key);
      if (key == "jobs") {
        out.jobs = number(part, at, limits::max_rate).value_or(1);
        counted = true;
      } else if (key == "period_ms") {
        constexpr std::chrono::milliseconds most = limits::max_rate_period;
        out.period = std::chrono::milliseconds{number(part, at, most.count()).value_or(1)};
      } else if (key == "burst") {
        out.burst = number(part, at, limits::max_rate).value_or(1);
      } else {
        fail(at, "no such field; a rate has jobs, period_ms and burst");
      }
    }
    if (out.jobs > 1000 * out.period.count())
      fail(pointer, "must not be more than 1,000 jobs a millisecond");
    if (!counted)
      fail(pointer + "/jobs", "is required");
    return out;
  }

  void fail(std::string pointer, std::string detail) {
    errors.push_back({std::move(pointer), std::move(detail)});
  }

  std::vector<field_error> errors;
};

std::variant<limit_queue, problem> read_limits(std::string_view body) {
  json_limits most;
  most.depth = 4;
  most.values = 64;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  const auto& root = std::get<json_value>(document);
  if (root.type != kind::object || root.members.empty())
    return invalid_fields({{"", "must be an object with at least one limit"}});
  limit_queue ask;
  limits_reader read;
  for (const auto& [key, value] : root.members) {
    std::string pointer;
    append_pointer(pointer, key);
    if (key == "concurrency")
      ask.concurrency.emplace(read.limit(value, pointer, limits::max_concurrency));
    else if (key == "rate")
      ask.rate.emplace(read.rate(value, pointer));
    else if (key == "key_concurrency")
      ask.key_concurrency.emplace(read.limit(value, pointer, limits::max_concurrency));
    else if (key == "key_rate")
      ask.key_rate.emplace(read.rate(value, pointer));
    else if (key == "max_waiting")
      ask.max_waiting.emplace(read.limit(value, pointer, limits::max_waiting));
    else if (key == "ordered" && value.type == kind::boolean)
      ask.ordered = value.flag;
    else if (key == "ordered")
      read.fail(pointer, "must be true or false");
    else
      read.fail(pointer, "no such field; the limits of a queue are concurrency, rate, "
                         "key_concurrency, key_rate, max_waiting and ordered");
  }
  if (!read.errors.empty())
    return invalid_fields(std::move(read.errors));
  return ask;
}

void change_limits(const services& context, const request_view& request, responder respond) {
  if (!is_valid_name(request.param))
    return respond(not_a_queue(request.param));
  auto read = read_limits(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto only_at = read_versions(request);
  if (auto* refused = std::get_if<response>(&only_at))
    return respond(std::move(*refused));
  const auto create = read_create(request.query);
  if (const auto* refused = std::get_if<response>(&create))
    return respond(*refused);
  auto& ask = std::get<limit_queue>(read);
  ask.name = std::string{request.param};
  ask.only_at = std::move(std::get<std::optional<queue_versions>>(only_at));
  ask.by = by_whom(request);
  steer(context, std::move(ask), std::get<bool>(create), std::move(respond));
}

} // namespace

void add_queue_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::get,
             .pattern = "/api/v1/queues",
             .role = role::viewer,
             .what = {"listQueues", "queues", "List queues by their names"},
             .answers = {{200, "QueuePage"}},
             .query = {"QueueFields", "QueuePageSize", "AfterQueue"},
             .handle = bound(list)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/queues/{name}",
             .role = role::viewer,
             .scope = queue_scope::path,
             .what = {"getQueue", "queues", "Look up one queue"},
             .answers = {{200, "SomeOfQueue"}, {304}},
             .query = {"QueueFields"},
             .headers = {"IfNoneMatch"},
             .handle = bound(get)});
  table.add({.verb = method::patch,
             .pattern = "/api/v1/queues/{name}",
             .role = role::operator_,
             .scope = queue_scope::path,
             .what = {"limitQueue", "queues", "Change a queue's limits and its order",
                      "What is left out stays as it is; null removes a limit."},
             .answers = {{200, "Queue"}},
             .query = {"CreateQueue"},
             .headers = {"IfMatch"},
             .body = {"QueueLimits", limits.empty_body_bytes},
             .problems = {409, 412},
             .handle = bound(change_limits)});
  const auto add = [&](std::string_view pattern, operation what, route_handler handle,
                       std::vector<std::string_view> query = {}) {
    table.add({.verb = method::post,
               .pattern = pattern,
               .role = role::operator_,
               .scope = queue_scope::path,
               .what = what,
               .answers = {{200, "Queue"}},
               .query = std::move(query),
               .headers = {"IfMatch"},
               .body = no_content(limits.empty_body_bytes),
               .problems = {409, 412},
               .handle = std::move(handle)});
  };
  add("/api/v1/queues/{name}/pause",
      {"pauseQueue", "queues", "Hand out nothing more of a queue; what runs goes on"},
      pausing(context, true), {"CreateQueue"});
  add("/api/v1/queues/{name}/resume", {"resumeQueue", "queues", "End a pause"},
      pausing(context, false));
  add("/api/v1/queues/{name}/drain",
      {"drainQueue", "queues", "Pause a queue until nothing of it runs",
       "A pause; the drain is over when `running` is 0."},
      pausing(context, true), {"CreateQueue"});
}

} // namespace troupe::http
