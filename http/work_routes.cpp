// /api/v1/work: workers in any language join, claim jobs and end them; docs/work.md. A worker's
// secret is made here, told to it once, and goes no further: the engine gets its hash.
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_work.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"
#include "http/work_spans.hpp"

#include <optional>
#include <utility>

namespace troupe::http {

namespace {

/// What every answer may be besides what was hoped for. A life that is over is gone for good.
response refused(const api_reply& reply) {
  const auto* failed = std::get_if<failure>(&reply);
  if (failed == nullptr || failed->code != errc::fenced)
    return unexpected(reply);
  return problem_response(make_problem(410, "worker_gone", failed->detail));
}

/// Of the first of these that is the engine's own, or that the caller's token is not for.
std::optional<response> beyond(const token_identity* who, const std::vector<std::string>& queues) {
  for (const auto& queue : queues) {
    if (auto fault = own_queue(queue))
      return problem_response(*std::move(fault));
    if (!covers(who, queue))
      return outside_scope(who->name, queue);
  }
  return std::nullopt;
}

/// Reads the body, asks, and writes the answer of the kind that is hoped for.
template<class Reply, class Ask, class Write>
void pass_on(const services& context, std::variant<Ask, problem> read, responder respond,
             Write write) {
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  context.ask->ask(std::move(std::get<Ask>(read)),
                   [respond = std::move(respond), write](const api_reply& reply) {
                     const auto* hoped = std::get_if<Reply>(&reply);
                     respond(hoped != nullptr ? json_response(200, write(*hoped)) : refused(reply));
                   });
}

void join(const services& context, const request_view& request, responder respond) {
  auto read = read_join(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& ask = std::get<join_worker>(read);
  if (auto fault = beyond(request.who, ask.queues))
    return respond(*std::move(fault));
  const auto secret = work_secret::make();
  ask.by.hash = secret.hash;
  if (request.who != nullptr)
    ask.by.token = request.who->id;
  context.ask->ask(ask, [respond = std::move(respond), ask, secret](const api_reply& reply) {
    const auto* joined = std::get_if<joined_worker>(&reply);
    if (joined == nullptr)
      return respond(refused(reply));
    auto out = json_response(201, joined_json(ask, joined->node, secret));
    out.location = "/api/v1/nodes/" + ask.name;
    respond(std::move(out));
  });
}

void claim(const services& context, const request_view& request, responder respond) {
  auto read = read_claim(request.body, request.who);
  work_session by;
  if (const auto* ask = std::get_if<claim_work>(&read)) {
    if (auto fault = beyond(request.who, ask->queues))
      return respond(*std::move(fault));
    by = ask->by;
  }
  pass_on<claimed_work>(context, std::move(read), std::move(respond),
                        [spans = context.spans, by = std::move(by)](const claimed_work& got) {
                          if (spans == nullptr)
                            return claimed_json(got);
                          return claimed_json(got, traces_of(got, by, spans->sample_ratio()));
                        });
}

void heartbeat(const services& context, const request_view& request, responder respond) {
  pass_on<work_pulse>(context, read_beat(request.body, request.who), std::move(respond),
                      pulse_json);
}

void finish(const services& context, const request_view& request, responder respond) {
  auto read = read_finish(request.body, request.who);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto told = std::make_shared<told_outcomes>(std::move(std::get<told_outcomes>(read)));
  auto ask = std::move(told->ask);
  const auto wanted = ask.runs.size();
  if (wanted == 0)
    return respond(json_response(200, finished_json(*told, {})));
  std::optional<ending_spans> ending;
  if (ask.tell = context.spans != nullptr; ask.tell)
    ending.emplace(ask);
  context.ask->ask(std::move(ask),
                   [respond = std::move(respond), told, wanted, spans = context.spans,
                    ending = std::move(ending)](const api_reply& reply) {
                     const auto* done = std::get_if<finished_work>(&reply);
                     if (done == nullptr || done->fates.size() != wanted)
                       return respond(refused(reply));
                     if (ending)
                       if (auto made = ending->ended(*done, spans->sample_ratio()); !made.empty())
                         spans->add(std::move(made));
                     respond(json_response(200, finished_json(*told, done->fates)));
                   });
}

void report(const services& context, const request_view& request, responder respond) {
  pass_on<reported_work>(context, read_report(request.body, request.who), std::move(respond),
                         reported_json);
}

void leave(const services& context, const request_view& request, responder respond) {
  pass_on<left_worker>(context, read_leave(request.body, request.who), std::move(respond),
                       left_json);
}

route_handler steering(const services& context, bool terminate) {
  return [&context, terminate](const request_view& request, responder respond) {
    const auto id = parse_id(request.param);
    if (!id)
      return respond(problem_response(
          to_problem({errc::not_found, "there is no worker " + request.param.substr(0, 32)})));
    if (auto fault = refuse_content(request.body))
      return respond(problem_response(*std::move(fault)));
    context.ask->ask(steer_worker{node_id{id->value}, terminate, by_whom(request)},
                     [respond = std::move(respond)](const api_reply& reply) {
                       if (!std::holds_alternative<steered_worker>(reply))
                         return respond(refused(reply));
                       response out;
                       out.status = 204;
                       respond(std::move(out));
                     });
  };
}

} // namespace

void add_work_routes(router& table, const services& context, const server_limits& limits) {
  const auto add = [&](std::string_view pattern, queue_scope scope, operation what,
                       answer_form answer, body_form body, auto* function) {
    const bool begins = function == join || function == claim;
    table.add({.verb = method::post,
               .pattern = pattern,
               .role = role::worker,
               .scope = scope,
               .what = what,
               .answers = answer,
               .body = body,
               .problems = answer.status == 201 ? std::vector<int>{} : std::vector<int>{410},
               .while_draining = !begins,
               .untraced = function == heartbeat,
               .handle = [&context, function](const request_view& request, responder respond) {
                 function(context, request, std::move(respond));
               }});
  };
  add("/api/v1/work/join", queue_scope::body,
      {"joinWork", "work", "Begin a worker's life",
       "The answer is the only one with its session, which all its other requests show."},
      {201, "JoinedWorker"}, {"NewWorker", limits.job_body_bytes}, join);
  add("/api/v1/work/claim", queue_scope::body,
      {"claimWork", "work", "Take jobs, now or when some come",
       "Of the first queue that has some. With `wait_ms` the answer waits while there are none."},
      {200, "ClaimedWork"}, {"WorkClaim", limits.token_body_bytes}, claim);
  // A session is bound to its token, so what follows is of the queues that it joined for.
  add("/api/v1/work/heartbeat", queue_scope::open,
      {"beatWork", "work", "Say that a worker lives, and hear what to stop",
       "What it was handed out more than 10 s ago and does not name goes back."},
      {200, "WorkPulse"}, {"WorkBeat", limits.job_body_bytes}, heartbeat);
  add("/api/v1/work/finish", queue_scope::open,
      {"finishWork", "work", "Tell how runs ended, each for itself",
       "The same outcome told again is answered as the first time."},
      {200, "FinishedWork"}, {"WorkOutcomes", limits.bulk_body_bytes}, finish);
  add("/api/v1/work/report", queue_scope::open,
      {"reportWork", "work", "Tell how far runs are, and write their logs"}, {200, "ReportedWork"},
      {"WorkReports", limits.bulk_body_bytes}, report);
  add("/api/v1/work/leave", queue_scope::open,
      {"leaveWork", "work", "End a worker's life", "What it still holds goes back at no cost."},
      {200, "LeftWork"}, {"WorkFarewell", limits.empty_body_bytes}, leave);
  const auto steer = [&](std::string_view pattern, operation what, bool terminate) {
    table.add({.verb = method::post,
               .pattern = pattern,
               .role = role::operator_,
               .what = what,
               .answers = {{204}},
               .body = no_content(limits.empty_body_bytes),
               .handle = steering(context, terminate)});
  };
  steer("/api/v1/work/workers/{id}/quiet",
        {"quietWorker", "work", "Give a worker no more jobs",
         "Its heartbeats tell it so; what it has it finishes."},
        false);
  steer("/api/v1/work/workers/{id}/terminate",
        {"terminateWorker", "work", "Ask a worker to end",
         "The same, and it gives back what it has."},
        true);
}

} // namespace troupe::http
