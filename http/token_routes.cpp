// /api/v1/tokens: who may ask; and /api/v1/audit: who has changed what. A secret is made here, told
// to whom it is for in the one answer, and goes no further: the engine gets its hash.
#include "http/bearer_token.hpp"
#include "http/job_answers.hpp"
#include "http/json.hpp"
#include "http/json_tokens.hpp"
#include "http/route_answers.hpp"
#include "http/routes.hpp"
#include "http/time_format.hpp"

#include <utility>

namespace troupe::http {

namespace {

void create(const services& context, const request_view& request, responder respond) {
  const auto key = read_idempotency_key(request);
  // Rather than a second token that nobody expects.
  if (const auto* given = std::get_if<std::string>(&key); given == nullptr || !given->empty())
    return respond(problem_response(make_problem(
        400, "invalid_argument",
        "header Idempotency-Key: a token's secret is told once and not again, so such a "
        "request cannot be answered twice; look for its name, and revoke it")));
  auto read = read_token(request.body);
  if (auto* fault = std::get_if<problem>(&read))
    return respond(problem_response(std::move(*fault)));
  const auto secret = bearer_token::make();
  auto& question = std::get<create_token>(read);
  question.hint = secret.hint();
  question.hash = secret.hash();
  question.by = by_whom(request);
  context.ask->ask(
      std::move(question), [respond = std::move(respond), secret](const api_reply& reply) {
        const auto* token = std::get_if<token_record>(&reply);
        respond(token != nullptr ? json_response(201, made_token_json(*token, secret.secret()))
                                 : unexpected(reply));
      });
}

void list(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  list_tokens ask;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::token_page, ask.limit))
        return respond(std::move(*fault));
    } else if (name == "after") {
      const auto after = value == "0" ? job_id{} : parse_id(value); // 0: from the first
      if (!after)
        return respond(wrong_parameter("after", "must be the id of a token"));
      ask.after = after->value;
    } else {
      return respond(wrong_parameter(name.substr(0, 64),
                                     "there is none of this name; a list takes limit and after"));
    }
  }
  context.ask->ask(ask, [respond = std::move(respond)](const api_reply& reply) {
    const auto* page = std::get_if<token_page>(&reply);
    respond(page != nullptr ? json_response(200, tokens_json(*page)) : unexpected(reply));
  });
}

void revoke(const services& context, const request_view& request, responder respond) {
  const auto id = parse_id(request.param);
  if (!id)
    return respond(problem_response(
        to_problem({errc::not_found, "there is no token " + request.param.substr(0, 32)})));
  if (auto fault = refuse_content(request.body))
    return respond(problem_response(*std::move(fault)));
  context.ask->ask(revoke_token{id->value, by_whom(request)},
                   [respond = std::move(respond)](const api_reply& reply) {
                     const auto* token = std::get_if<token_record>(&reply);
                     if (token == nullptr)
                       return respond(unexpected(reply));
                     std::string body;
                     append_token(body, *token);
                     respond(json_response(200, std::move(body)));
                   });
}

void append_entry(std::string& out, const audit_record& entry) {
  out += "{\"id\":\"" + std::to_string(entry.id) + "\",\"at\":";
  append_time_or_null(out, entry.at);
  out += ",\"who\":";
  append_json_string(out, entry.who);
  out += ",\"token\":" + (entry.token ? '"' + std::to_string(*entry.token) + '"' : "null");
  out += ",\"action\":";
  append_json_string(out, entry.action);
  out += ",\"subject\":";
  append_json_string(out, entry.subject);
  out += ",\"request_id\":";
  append_json_string(out, entry.request_id);
  out += ",\"changes\":" + entry.changes.value_or("null") + '}';
}

void audit(const services& context, const request_view& request, responder respond) {
  auto parameters = parse_query(request.query);
  if (!parameters)
    return respond(malformed_query());
  list_audit ask;
  for (auto& [name, value] : *parameters) {
    if (name == "limit") {
      if (auto fault = read_page_size(value, limits::audit_page, ask.limit))
        return respond(std::move(*fault));
    } else if (name == "before") {
      const auto before = parse_id(value);
      if (!before)
        return respond(wrong_parameter("before", "must be the id of an entry"));
      ask.before = before->value;
    } else {
      return respond(wrong_parameter(
          name.substr(0, 64), "there is none of this name; the audit takes limit and before"));
    }
  }
  context.ask->ask(ask, [respond = std::move(respond)](const api_reply& reply) {
    const auto* page = std::get_if<audit_page>(&reply);
    if (page == nullptr)
      return respond(unexpected(reply));
    std::string body = "{\"entries\":[";
    for (const auto& entry : page->entries) {
      if (body.back() == '}')
        body += ',';
      append_entry(body, entry);
    }
    body += "],\"next\":" + (page->next ? '"' + std::to_string(*page->next) + '"' : "null");
    respond(json_response(200, body + '}'));
  });
}

} // namespace

void add_token_routes(router& table, const services& context, const server_limits& limits) {
  const auto bound = [&context](auto* function) -> route_handler {
    return [&context, function](const request_view& request, responder respond) {
      function(context, request, std::move(respond));
    };
  };
  table.add({.verb = method::post,
             .pattern = "/api/v1/tokens",
             .role = role::admin,
             .what = {"createToken", "tokens", "Make a token",
                      "The answer is the only one that has the secret."},
             .answers = {{201, "MadeToken"}},
             .body = {"NewToken", limits.token_body_bytes},
             .problems = {409},
             .handle = bound(create)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/tokens",
             .role = role::admin,
             .what = {"listTokens", "tokens", "List tokens, oldest first"},
             .answers = {{200, "TokenPage"}},
             .query = {"TokenPageSize", "AfterToken"},
             .handle = bound(list)});
  table.add({.verb = method::post,
             .pattern = "/api/v1/tokens/{id}/revoke",
             .role = role::admin,
             .what = {"revokeToken", "tokens", "Let a token open nothing any more"},
             .answers = {{200, "Token"}},
             .body = no_content(limits.empty_body_bytes),
             .handle = bound(revoke)});
  table.add({.verb = method::get,
             .pattern = "/api/v1/audit",
             .role = role::admin,
             .what = {"listAudit", "tokens", "See who has changed what, newest first",
                      "Entries of the last 90 days, of these the newest million."},
             .answers = {{200, "AuditPage"}},
             .query = {"AuditPageSize", "BeforeEntry"},
             .handle = bound(audit)});
}

} // namespace troupe::http
