#include "http/access_control.hpp"

#include "http/answer_way.hpp"
#include "http/job_answers.hpp"
#include "http/route_answers.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace troupe::http {

namespace {

constexpr std::string_view show_a_token = "WWW-Authenticate: Bearer realm=\"troupe\"\r\n";
constexpr std::string_view show_another =
    "WWW-Authenticate: Bearer realm=\"troupe\", error=\"invalid_token\"\r\n";

response unauthorized(std::string_view code, std::string detail, std::string_view challenge) {
  auto out = problem_response(make_problem(401, code, std::move(detail)));
  out.more_fields = challenge;
  return out;
}

access_control::verdict refusal_of(problem why) {
  return {{}, problem_response(std::move(why))};
}

std::optional<std::string> queue_of(std::string_view query) {
  if (auto parameters = parse_query(query))
    for (auto& [name, value] : *parameters)
      if (name == "queue")
        return std::move(value);
  return std::nullopt;
}

} // namespace

void access_control::ask(api_request request, std::function<void(const api_reply&)> then) {
  auto way = std::make_shared<answer_way>([loop = loop_, then = std::move(then)](api_reply reply) {
    net::post(loop, [then, reply = std::move(reply)] { then(reply); });
  });
  ask_->ask(std::move(request), [way](api_reply reply) { way->give(std::move(reply)); });
}

std::optional<response> access_control::presented(const request_head& head,
                                                  const std::string& address,
                                                  std::optional<bearer_token>& token) {
  const head_field* shown = nullptr;
  for (const auto& field : head.fields) {
    if (!iequals(field.name, "Authorization"))
      continue;
    if (shown != nullptr)
      return problem_response(
          make_problem(400, "malformed_request", "header Authorization: must come once"));
    shown = &field;
  }
  const auto word = shown != nullptr ? bearer_of(shown->value) : std::nullopt;
  if (!word)
    return unauthorized("token_required", "send Authorization: Bearer and a token of this database",
                        show_a_token);
  token = bearer_token::parse(*word);
  if (token && cache_.knows(token->hash()))
    return std::nullopt; // whoever else fails from its address
  if (const auto wait = failures_.must_wait(address, clock::now())) {
    auto fault =
        make_problem(429, "too_many_failures", "too many tokens from this address opened nothing");
    fault.retryable = true;
    fault.retry_after = static_cast<int>(wait->count());
    return problem_response(std::move(fault));
  }
  if (!token)
    return not_live(address, "token_unknown", "there is no such token");
  return std::nullopt;
}

response access_control::not_live(const std::string& address, std::string_view code,
                                  std::string detail) {
  failures_.note(address, clock::now());
  return unauthorized(code, std::move(detail), show_another);
}

std::optional<access_control::verdict> access_control::judge(const question& asked,
                                                             receiver later) {
  if (asked.what->role == role::anyone)
    return verdict{};
  std::optional<bearer_token> token;
  if (auto refused = presented(*asked.head, asked.address, token))
    return verdict{{}, std::move(refused)};
  wish what{asked.what, asked.param, {}, asked.address, std::move(later)};
  if (asked.what->scope == queue_scope::filter)
    what.queue = queue_of(asked.query);
  auto hash = token->hash();
  if (const auto who = cache_.find(hash, changes_.load(), clock::now()))
    return permit(who, std::move(what));
  look_up(hash, std::move(what));
  return std::nullopt;
}

void access_control::look_up(const std::string& hash, wish what) {
  // A question from before a revocation may be answered without it, so it is nobody's who comes
  // later; that is told by the turn.
  auto& same = waiting_[hash];
  same.push_back(std::move(what));
  if (same.size() > 1)
    return;
  ask(find_token{hash}, [self = shared_from_this(), hash, turn = changes_.load()](
                            const api_reply& reply) { self->found(hash, turn, reply); });
}

void access_control::found(const std::string& hash, std::uint64_t turn, const api_reply& reply) {
  const auto node = waiting_.extract(hash);
  if (node.empty())
    return;
  auto waited = std::move(node.mapped());
  const auto* token = std::get_if<found_token>(&reply);
  const auto* failed = std::get_if<failure>(&reply);
  if (token != nullptr && token->standing == token_standing::live) {
    if (turn != changes_.load()) { // perhaps it was this one: once more for all
      for (auto& each : waited)
        look_up(hash, std::move(each));
      return;
    }
    const auto who = std::make_shared<const token_identity>(
        token_identity{token->id, token->name, token->may, token->queues});
    cache_.keep(hash, who, token->left, turn, clock::now());
    for (auto& each : waited) {
      const auto later = each.later;
      if (auto said = permit(who, std::move(each)))
        later(*std::move(said));
    }
    return;
  }
  const bool unknown = failed != nullptr && failed->code == errc::not_found;
  if (token != nullptr || unknown)
    cache_.forget(hash);
  for (auto& each : waited) {
    if (unknown)
      each.later({{}, not_live(each.address, "token_unknown", "there is no such token")});
    else if (token == nullptr)
      each.later({{}, unexpected(reply)});
    else if (token->standing == token_standing::expired)
      each.later({{}, not_live(each.address, "token_expired", "this token has expired")});
    else
      each.later({{}, not_live(each.address, "token_revoked", "this token was revoked")});
  }
}

std::optional<access_control::verdict> access_control::permit(const identity_ptr& who, wish what) {
  const role needed = what.what->role;
  if (!allows(who->may, needed))
    return refusal_of(make_problem(403, "role_not_enough",
                                   "this needs the role " + std::string{to_string(needed)}
                                       + ", and the token " + who->name + " has the role "
                                       + std::string{to_string(who->may)}));
  if (!is_scoped(who.get()))
    return verdict{who, {}};
  switch (what.what->scope) {
  case queue_scope::open:
  case queue_scope::query:
  case queue_scope::body:
    return verdict{who, {}};
  case queue_scope::path:
    if (covers(who.get(), what.param))
      return verdict{who, {}};
    return verdict{{}, outside_scope(who->name, what.param)};
  case queue_scope::filter:
    if (what.queue && covers(who.get(), *what.queue))
      return verdict{who, {}};
    if (what.queue)
      return verdict{{}, outside_scope(who->name, *what.queue)};
    return refusal_of(
        make_problem(403, "queue_not_allowed",
                     "the token " + who->name + " is for some queues: name one of them by queue"));
  case queue_scope::job:
    return permit_job(who, std::move(what));
  case queue_scope::none:
    break;
  }
  return refusal_of(
      make_problem(403, "queue_not_allowed",
                   "the token " + who->name + " is for some queues, and this is not about one"));
}

std::optional<access_control::verdict> access_control::permit_job(const identity_ptr& who,
                                                                  wish what) {
  const auto id = parse_id(what.param);
  if (!id)
    return verdict{who, {}}; // the route says that there is no such job
  ask(get_job{*id, false}, [who, later = std::move(what.later)](const api_reply& reply) {
    const auto* failed = std::get_if<failure>(&reply);
    const auto* job = std::get_if<job_record>(&reply);
    if (job != nullptr && !covers(who.get(), job->queue))
      later({{}, outside_scope(who->name, job->queue)});
    else if (job != nullptr || (failed != nullptr && failed->code == errc::not_found))
      later({who, {}}); // the route says that there is none
    else
      later({{}, unexpected(reply)});
  });
  return std::nullopt;
}

} // namespace troupe::http
