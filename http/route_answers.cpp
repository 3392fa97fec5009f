#include "http/route_answers.hpp"

#include "http/identity.hpp"
#include "http/problem.hpp"
#include "http/sha256.hpp"
#include "messages/job_limits.hpp"

#include <charconv>
#include <utility>

namespace troupe::http {

response wrong_parameter(std::string name, std::string detail) {
  auto fault = invalid_fields({});
  fault.detail = "query parameter " + std::move(name) + ": " + std::move(detail);
  return problem_response(std::move(fault));
}

response malformed_query() {
  auto fault = invalid_fields({});
  fault.detail = "the query is malformed, or names a parameter twice";
  return problem_response(std::move(fault));
}

std::optional<response> read_page_size(std::string_view text, int most, int& limit) {
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(text.data(), last, limit);
  if (ec == std::errc{} && end == last && limit >= 1 && limit <= most)
    return std::nullopt;
  return wrong_parameter("limit", "must be an integer from 1 to " + std::to_string(most));
}

namespace {

problem not_for_queue(std::string_view token, std::string_view queue) {
  return make_problem(403, "queue_not_allowed",
                      "the token " + std::string{token} + " is not for the queue "
                          + std::string{queue.substr(0, 128)});
}

} // namespace

response outside_scope(std::string_view token, std::string_view queue) {
  return problem_response(not_for_queue(token, queue));
}

std::optional<problem> own_queue(std::string_view queue) {
  if (!queue.starts_with("troupe."))
    return std::nullopt;
  return make_problem(403, "queue_reserved",
                      "the queue " + std::string{queue.substr(0, 128)}
                          + " is the engine's own, as all are whose names begin with troupe.");
}

std::optional<problem> beyond_scope(const token_identity* who, const job_spec& job) {
  if (auto refused = own_queue(job.queue))
    return refused;
  if (!covers(who, job.queue))
    return not_for_queue(who->name, job.queue);
  if (is_scoped(who) && job.unique && !job.unique->queue)
    return make_problem(403, "queue_not_allowed",
                        "the token " + who->name
                            + " is for some queues: unique jobs have to name queue among what is "
                              "unique");
  return std::nullopt;
}

namespace {

/// A token that is for some queues has its keys for itself: it neither learns of another's nor
/// stands in their way. As long whatever the key.
std::string key_of(const token_identity& who, std::string_view key) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "token " + std::to_string(who.id) + ' ';
  for (const auto byte : sha256(key)) {
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  return out;
}

} // namespace

std::variant<std::string, response> read_idempotency_key(const request_view& request) {
  const head_field* found = nullptr;
  if (request.head == nullptr)
    return std::string{};
  for (const auto& field : request.head->fields) {
    if (!iequals(field.name, "Idempotency-Key"))
      continue;
    if (found != nullptr || !is_valid_key(field.value)) {
      auto fault = invalid_fields({});
      fault.detail = "header Idempotency-Key: must come once, with 1 to "
                     + std::to_string(limits::key_length) + " printable characters";
      return problem_response(std::move(fault));
    }
    found = &field;
  }
  if (found == nullptr)
    return std::string{};
  return is_scoped(request.who) ? key_of(*request.who, found->value) : std::string{found->value};
}

response reused_key() {
  return problem_response(
      make_problem(422, "idempotency_key_reused",
                   "this Idempotency-Key belongs to a request with another content"));
}

} // namespace troupe::http
