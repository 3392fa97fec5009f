#include "http/enqueue_apart.hpp"

#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/route_answers.hpp"

#include <chrono>
#include <utility>
#include <vector>

namespace troupe::http {

namespace {

/// What stands between a request's key and a job's place. No caller's key can hold it.
constexpr char place_mark = '\x1f';
constexpr std::size_t place_length = 1 + 4; ///< of 10,000 jobs

/// A job that was read, and where it stands in the request.
struct readable {
  std::size_t place;
  std::string queue;
};

/// What becomes of a request, kept until the engine has answered.
struct apart {
  std::vector<job_or_problem> read;
  std::vector<readable> asked; ///< those that were
  std::size_t problem_bytes = 0;
};

problem refusal_of(const readable& job, const enqueued_jobs& stored, std::size_t i) {
  if (stored.parts.at(i).use == key_use::refused)
    return make_problem(422, "idempotency_key_reused",
                        "this Idempotency-Key belongs to a request with another content here");
  if (stored.fates.at(i) == enqueue_fate::no_room)
    return to_problem(
        {errc::overloaded, "queue \"" + job.queue + "\" is full: as many of its jobs wait as may"});
  auto fault = to_problem({errc::conflict, conflict_text(stored.ids.at(i))});
  if (stored.ids.at(i).value != 0)
    fault.existing_id = std::to_string(stored.ids.at(i).value);
  fault.errors.push_back({"/jobs/" + std::to_string(job.place) + "/unique", fault.detail});
  return fault;
}

bool is_stored(enqueue_fate fate) {
  return fate == enqueue_fate::created || fate == enqueue_fate::existing
         || fate == enqueue_fate::replaced;
}

std::string problem_json(const problem& fault) {
  std::string out = "{\"code\":";
  append_json_string(out, fault.code);
  out += ",\"detail\":";
  append_json_string(out, fault.detail);
  if (!fault.existing_id.empty()) {
    out += ",\"existing_id\":";
    append_json_string(out, fault.existing_id);
  }
  out += fault.retryable ? ",\"retryable\":true" : ",\"retryable\":false";
  out += ",\"errors\":[";
  for (const auto& error : fault.errors) {
    out += out.back() == '[' ? "{\"pointer\":" : ",{\"pointer\":";
    append_json_string(out, error.pointer);
    out += ",\"detail\":";
    append_json_string(out, error.detail);
    out += '}';
  }
  return out + "]}";
}

/// Writes the results one after the other.
class results {
public:
  explicit results(std::size_t problem_bytes) : left_(problem_bytes) {}

  void refused(const problem& fault) {
    ++refused_;
    auto told = problem_json(fault);
    if (told.size() > left_) {
      left_ = 0;
      told = problem_json(make_problem(fault.status, fault.code,
                                       "the answer has no room for more of what is wrong"));
    } else {
      left_ -= told.size();
    }
    begin(fault.status);
    body_ += ",\"problem\":" + told + '}';
  }

  void stored(job_id id, enqueue_fate fate, bool replayed) {
    begin(fate == enqueue_fate::created ? 201 : 200);
    body_ += ",\"id\":\"" + std::to_string(id.value) + '"';
    if (fate != enqueue_fate::created)
      body_ += ",\"existing\":true";
    if (fate == enqueue_fate::replaced)
      body_ += ",\"replaced\":true";
    if (replayed)
      body_ += ",\"replayed\":true";
    body_ += '}';
  }

  std::string text() && {
    return std::move(body_) + "],\"refused\":" + std::to_string(refused_) + '}';
  }

private:
  void begin(int status) {
    if (body_.back() == '}')
      body_ += ',';
    body_ += "{\"status\":" + std::to_string(status);
  }

  std::string body_ = "{\"results\":[";
  std::size_t left_;
  std::size_t refused_ = 0;
};

response render(const apart& what, const enqueued_jobs& stored) {
  results out{what.problem_bytes};
  std::size_t next = 0;
  for (const auto& one : what.read) {
    if (const auto* fault = std::get_if<problem>(&one)) {
      out.refused(*fault);
      continue;
    }
    const auto i = next++;
    const auto use = stored.parts.at(i).use;
    if (use == key_use::refused || !is_stored(stored.fates.at(i)))
      out.refused(refusal_of(what.asked[i], stored, i));
    else
      out.stored(stored.ids.at(i), stored.fates[i], use == key_use::replayed);
  }
  return json_response(200, std::move(out).text());
}

bool is_about(const enqueued_jobs& stored, std::size_t jobs) {
  return stored.ids.size() == jobs && stored.fates.size() == jobs && stored.parts.size() == jobs;
}

} // namespace

void enqueue_apart(const services& context, const server_limits& limits,
                   const request_view& request, const std::string& key, responder respond) {
  if (key.size() + place_length > limits::key_length) {
    auto fault = invalid_fields({});
    fault.detail = "header Idempotency-Key: must have at most "
                   + std::to_string(limits::key_length - place_length)
                   + " characters where jobs are stored one by one";
    return respond(problem_response(std::move(fault)));
  }
  const auto now = std::chrono::system_clock::now();
  auto read = read_jobs_apart(
      request.body, {context.kinds, std::chrono::time_point_cast<std::chrono::microseconds>(now),
                     context.serves});
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  auto what = std::make_shared<apart>();
  what->read = std::move(std::get<std::vector<job_or_problem>>(read));
  what->problem_bytes = limits.problem_bytes;
  enqueue_jobs ask;
  ask.apart = true;
  for (std::size_t place = 0; place < what->read.size(); ++place) {
    auto* spec = std::get_if<job_spec>(&what->read[place]);
    if (spec == nullptr)
      continue;
    if (auto refused = beyond_scope(request.who, *spec)) {
      what->read[place] = *std::move(refused);
      continue;
    }
    spec->traceparent = request.traceparent;
    what->asked.push_back({place, spec->queue});
    ask.parts.push_back({1, key.empty() ? key : key + place_mark + std::to_string(place)});
    ask.jobs.push_back(std::move(*spec));
  }
  if (ask.jobs.empty())
    return respond(render(*what, {}));
  context.ask->ask(std::move(ask), [what, respond = std::move(respond)](const api_reply& reply) {
    const auto* stored = std::get_if<enqueued_jobs>(&reply);
    respond(stored != nullptr && is_about(*stored, what->asked.size()) ? render(*what, *stored)
                                                                       : unexpected(reply));
  });
}

} // namespace troupe::http
