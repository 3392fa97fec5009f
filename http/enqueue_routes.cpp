// POST /api/v1/jobs and /jobs/bulk: jobs put in, what became of unique ones, and requests that are
// asked again with an Idempotency-Key.
#include "http/enqueue_apart.hpp"
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"

#include <chrono>
#include <utility>

namespace troupe::http {

namespace {

timestamp wall_clock() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// The answer to a request that stored nothing: its key is another one's, or a job was rejected.
std::optional<response> refusal_of(const enqueued_jobs& stored, bool many) {
  if (stored.use == key_use::refused)
    return reused_key();
  const auto rejected = first_rejected(stored);
  if (!rejected)
    return std::nullopt;
  const auto id = stored.ids.at(*rejected).value;
  auto fault = make_problem(409, to_string(errc::conflict), {});
  fault.detail = conflict_text(stored.ids.at(*rejected));
  if (id != 0)
    fault.existing_id = std::to_string(id);
  fault.errors.push_back(
      {(many ? "/jobs/" + std::to_string(*rejected) : std::string{}) + "/unique", fault.detail});
  return problem_response(std::move(fault));
}

response marked(response out, const enqueued_jobs& stored) {
  out.replayed = stored.use == key_use::replayed;
  return out;
}

/// `{...}` with one member more.
void add_member(std::string& object, std::string_view member) {
  object.pop_back();
  object += ',';
  object += member;
  object += '}';
}

/// Another job that is the answer: with a mark, and 200.
response render_existing(const job_record& job, enqueue_fate fate) {
  auto out = render_job(200, job);
  add_member(out.body, "\"existing\":true");
  if (fate == enqueue_fate::replaced)
    add_member(out.body, "\"replaced\":true");
  return out;
}

void answer_one(requester& ask, const job_spec& spec, const enqueued_jobs& stored,
                const responder& respond) {
  const auto fate = stored.fates.empty() ? enqueue_fate::created : stored.fates.front();
  if (fate == enqueue_fate::created && stored.created_at)
    return respond(
        marked(render_job(201, new_job(spec, stored.ids.front(), *stored.created_at)), stored));
  // The store did not say when, or it is another one: what is told must be true, so it is read.
  ask.ask(get_job{stored.ids.front()}, [respond, stored, fate](const api_reply& reply) {
    const auto* job = std::get_if<job_record>(&reply);
    if (job == nullptr)
      return respond(unexpected(reply));
    respond(
        marked(fate == enqueue_fate::created ? render_job(201, *job) : render_existing(*job, fate),
               stored));
  });
}

void create(const services& context, const request_view& request, responder respond) {
  auto key = read_idempotency_key(request);
  if (auto* refused = std::get_if<response>(&key))
    return respond(std::move(*refused));
  auto read = read_job(request.body, {context.kinds, wall_clock(), context.serves});
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  std::get<job_spec>(read).traceparent = request.traceparent;
  auto spec = std::make_shared<const job_spec>(std::move(std::get<job_spec>(read)));
  if (auto refused = beyond_scope(request.who, *spec))
    return respond(problem_response(*std::move(refused)));
  context.ask->ask(enqueue_jobs{{*spec}, std::move(std::get<std::string>(key))},
                   [spec, ask = context.ask, respond = std::move(respond)](const api_reply& reply) {
                     const auto* stored = std::get_if<enqueued_jobs>(&reply);
                     if (stored == nullptr || stored->ids.size() != 1)
                       return respond(unexpected(reply));
                     if (auto refused = refusal_of(*stored, false))
                       return respond(*std::move(refused));
                     answer_one(*ask, *spec, *stored, respond);
                   });
}

std::string indexes(const enqueued_jobs& stored, bool (*counts)(enqueue_fate)) {
  std::string out;
  for (std::size_t i = 0; i < stored.fates.size(); ++i)
    if (counts(stored.fates[i]))
      out += (out.empty() ? "" : ",") + std::to_string(i);
  return out;
}

/// 201 when one job is new.
response render_many(const enqueued_jobs& stored) {
  auto body = ids_json(stored.ids);
  const auto existing = indexes(stored, [](enqueue_fate fate) {
    return fate == enqueue_fate::existing || fate == enqueue_fate::replaced;
  });
  const auto replaced =
      indexes(stored, [](enqueue_fate fate) { return fate == enqueue_fate::replaced; });
  if (!existing.empty())
    add_member(body, "\"existing\":[" + existing + "]");
  if (!replaced.empty())
    add_member(body, "\"replaced\":[" + replaced + "]");
  const bool any_new = stored.fates.empty() || !indexes(stored, [](enqueue_fate fate) {
                                                  return fate == enqueue_fate::created;
                                                }).empty();
  return marked(json_response(any_new ? 201 : 200, std::move(body)), stored);
}

/// Whether each job is stored or refused by itself.
std::variant<bool, response> read_mode(std::string_view query) {
  const auto parameters = parse_query(query);
  if (!parameters)
    return malformed_query();
  bool apart = false;
  for (const auto& [name, value] : *parameters) {
    if (name != "mode")
      return wrong_parameter(name.substr(0, 64), "there is none of this name; this takes mode");
    if (value != "atomic" && value != "per_item")
      return wrong_parameter("mode", "must be atomic or per_item");
    apart = value == "per_item";
  }
  return apart;
}

void create_many(const services& context, const server_limits& limits, const request_view& request,
                 responder respond) {
  auto key = read_idempotency_key(request);
  if (auto* refused = std::get_if<response>(&key))
    return respond(std::move(*refused));
  auto apart = read_mode(request.query);
  if (auto* refused = std::get_if<response>(&apart))
    return respond(std::move(*refused));
  if (std::get<bool>(apart))
    return enqueue_apart(context, limits, request, std::get<std::string>(key), std::move(respond));
  auto read = read_jobs(request.body, {context.kinds, wall_clock(), context.serves});
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto& jobs = std::get<std::vector<job_spec>>(read);
  for (auto& job : jobs) {
    if (auto refused = beyond_scope(request.who, job))
      return respond(problem_response(*std::move(refused)));
    job.traceparent = request.traceparent;
  }
  context.ask->ask(enqueue_jobs{std::move(jobs), std::move(std::get<std::string>(key))},
                   [respond = std::move(respond)](const api_reply& reply) {
                     const auto* stored = std::get_if<enqueued_jobs>(&reply);
                     if (stored == nullptr)
                       return respond(unexpected(reply));
                     auto refused = refusal_of(*stored, true);
                     respond(refused ? *std::move(refused) : render_many(*stored));
                   });
}

} // namespace

void add_enqueue_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::post,
             .pattern = "/api/v1/jobs",
             .role = role::producer,
             .scope = queue_scope::body,
             .what = {"enqueueJob", "jobs", "Put a job in",
                      "200 with `existing` when another job has its unique key and is the answer."},
             .answers = {{201, "Job"}, {200, "Job"}},
             .headers = {"IdempotencyKey", "Traceparent"},
             .body = {"NewJob", limits.job_body_bytes},
             .problems = {409, 422},
             .handle = bound(create)});
  table.add(
      {.verb = method::post,
       .pattern = "/api/v1/jobs/bulk",
       .role = role::producer,
       .scope = queue_scope::body,
       .what = {"enqueueJobs", "jobs", "Put many jobs in, all or none, or each by itself",
                "200 when none of them is new, and with `mode=per_item` what became of each."},
       .answers = {{201, "EnqueuedJobs"}, {200, "EnqueuedJobsOrEach"}},
       .query = {"EnqueueMode"},
       .headers = {"IdempotencyKey", "Traceparent"},
       .body = {"NewJobs", limits.bulk_body_bytes},
       .problems = {409, 422},
       .handle = [&context, &limits](const request_view& request, responder respond) {
         create_many(context, limits, request, std::move(respond));
       }});
}

} // namespace troupe::http
