// /api/v1/events: what changes of jobs or queues, as Server-Sent Events.
#include "http/bearer_token.hpp"
#include "http/event_board.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace troupe::http {

namespace {

/// In order and each once. Nothing when one of them is none, or there are too many.
template<class Value, class Read>
std::optional<std::vector<Value>> read_list(std::string_view text, Read read) {
  std::vector<Value> out;
  for (;;) {
    const auto end = text.find(',');
    auto one = read(text.substr(0, end));
    if (!one || out.size() == event_bounds::subjects)
      return std::nullopt;
    out.push_back(*std::move(one));
    if (end == std::string_view::npos)
      break;
    text.remove_prefix(end + 1);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::optional<std::string> read_name(std::string_view text) {
  return is_valid_name(text) ? std::optional<std::string>{text} : std::nullopt;
}

std::variant<event_subject, response> read_subject(std::string_view query) {
  auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  event_subject out;
  for (const auto& [name, value] : *parameters) {
    if (name == "job") {
      auto jobs = read_list<job_id>(value, parse_id);
      if (!jobs)
        return wrong_parameter("job", "must be 1 to 100 ids with commas between them");
      out.jobs = *std::move(jobs);
    } else if (name == "queue") {
      auto queues = read_list<std::string>(value, read_name);
      if (!queues)
        return wrong_parameter("queue", "must be 1 to 100 names with commas between them");
      out.queues = *std::move(queues);
    } else {
      return wrong_parameter(name.substr(0, 64),
                             "there is none of this name; events take job or queue");
    }
  }
  if (!out.jobs.empty() && !out.queues.empty())
    return wrong_parameter("queue", "a stream is for jobs or for queues, not for both");
  return out;
}

/// What the queries of a token for some queues may name. A job's queue the board looks at.
std::optional<response> beyond(const token_identity* who, const event_subject& what) {
  if (!is_scoped(who) || !what.jobs.empty())
    return std::nullopt;
  if (what.queues.empty())
    return problem_response(make_problem(403, "queue_not_allowed",
                                         "the token " + who->name
                                             + " is for some queues: name them by queue, or jobs "
                                               "by job"));
  for (const auto& name : what.queues)
    if (!covers(who, name))
      return outside_scope(who->name, name);
  return std::nullopt;
}

void events(const services& context, const request_view& request, const responder& respond) {
  auto subject = read_subject(request.query);
  if (auto* refused = std::get_if<response>(&subject))
    return respond(std::move(*refused));
  event_board::wish what;
  what.subject = std::move(std::get<event_subject>(subject));
  if (auto refused = beyond(request.who, what.subject))
    return respond(*std::move(refused));
  if (const auto last = request.head->field("last-event-id"); !last.empty()) {
    what.told = read_event_id(last, what.subject);
    if (!what.told) {
      auto fault = invalid_fields({});
      fault.detail = "header Last-Event-ID: this is not the id of an event of such a stream";
      return respond(problem_response(std::move(fault)));
    }
  }
  if (request.verb == method::head)
    return respond(event_stream_head());
  if (request.who != nullptr) {
    what.who = std::make_shared<const token_identity>(*request.who);
    const auto word = bearer_of(request.head->field("authorization"));
    const auto token = word ? bearer_token::parse(*word) : std::nullopt;
    if (!token) // nobody is known without one
      return respond(problem_response(to_problem({errc::internal, "a caller without a token"})));
    what.token = token->hash();
  }
  context.events->open(std::move(what), respond, event_board::clock::now());
}

} // namespace

void add_event_routes(router& table, const services& context) {
  if (context.events == nullptr)
    return;
  table.add(
      {.verb = method::get,
       .pattern = "/api/v1/events",
       .role = role::viewer,
       .scope = queue_scope::query,
       .what = {"streamEvents", "events", "Hear of changes of jobs, or of queues, as they come",
                "Server-Sent Events. Without parameters: all queues. 204 when all jobs have "
                "ended and Last-Event-ID says that all was told."},
       .answers = {{200, "Text", "text/event-stream"}, {204}},
       .query = {"EventJobs", "EventQueues"},
       .headers = {"LastEventId"},
       .problems = {404, 503},
       .handle = [&context](const request_view& request, const responder& respond) {
         events(context, request, respond);
       }});
}

} // namespace troupe::http
