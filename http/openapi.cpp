// See openapi.hpp.
#include "http/openapi.hpp"

#include "http/embedded.hpp"
#include "messages/audit.hpp"
#include "messages/bulk.hpp"
#include "messages/job_export.hpp"
#include "messages/node.hpp"
#include "messages/queue.hpp"
#include "messages/stored_export.hpp"
#include "messages/token.hpp"
#include "messages/work.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

namespace troupe::http {

namespace {

using json = nlohmann::ordered_json;

std::int64_t limit_named(const std::string& name) {
  constexpr std::chrono::milliseconds max_delay = limits::max_delay;
  constexpr std::chrono::milliseconds max_token_life = limits::max_token_life;
  static const std::map<std::string, std::int64_t> known = {
      {"name_length", limits::name_length},
      {"max_priority", limits::max_priority},
      {"max_attempts", limits::max_attempts},
      {"max_timeout_ms", limits::max_timeout.count()},
      {"max_delay_ms", max_delay.count()},
      {"tags", limits::tags},
      {"tag_length", limits::tag_length},
      {"limit_key_length", limits::limit_key_length},
      {"retry_pauses", limits::retry_pauses},
      {"unique_fields", limits::unique_fields},
      {"field_length", limits::field_length},
      {"max_period_ms", limits::max_period.count()},
      {"key_length", limits::key_length},
      {"bulk_jobs", limits::bulk_jobs},
      {"bulk_ids", limits::bulk_ids},
      {"page_size", limits::page_size},
      {"filter_tags", limits::filter_tags},
      {"export_jobs", limits::export_jobs},
      {"export_page", limits::export_page},
      {"log_page", limits::log_page},
      {"bulk_page", limits::bulk_page},
      {"queue_page", limits::queue_page},
      {"node_page", limits::node_page},
      {"retention_queues", limits::retention_queues},
      {"longest_age_of_jobs_ms", limits::longest_age_of_jobs.count()},
      {"token_queues", limits::token_queues},
      {"token_page", limits::token_page},
      {"max_token_life_ms", max_token_life.count()},
      {"audit_page", limits::audit_page},
      {"max_concurrency", limits::max_concurrency},
      {"max_rate", limits::max_rate},
      {"max_rate_period_ms", std::chrono::milliseconds{limits::max_rate_period}.count()},
      {"max_waiting", limits::max_waiting},
      {"work_queues", limits::work_queues},
      {"work_kinds", limits::work_kinds},
      {"work_slots", limits::work_slots},
      {"work_held", limits::work_held},
      {"work_claim", limits::work_claim},
      {"work_finish", limits::work_finish},
      {"work_progress", limits::work_progress},
      {"work_lines", limits::work_lines},
      {"work_wait_ms", limits::work_wait.count()},
      {"work_ago_ms", limits::work_ago.count()},
      {"least_lease_ms", limits::least_lease.count()},
      {"usual_lease_ms", limits::usual_lease.count()},
      {"most_lease_ms", limits::most_lease.count()},
      {"most_attempt", limits::most_attempt},
      {"version_length", limits::version_length}};
  const auto found = known.find(name);
  if (found == known.end())
    throw std::logic_error("a schema names a limit that is unknown: " + name);
  return found->second;
}

/// Puts the limits in. The depth is that of our own files.
void put_limits(json& value) { // NOLINT(misc-no-recursion)
  if (value.is_string() && value.get_ref<const std::string&>().starts_with('@'))
    value = limit_named(value.get<std::string>().substr(1));
  else if (value.is_structured())
    for (auto& part : value)
      put_limits(part);
}

json reference(std::string_view kind, std::string_view name) {
  return {{"$ref", "#/components/" + std::string{kind} + '/' + std::string{name}}};
}

/// Every status and code that a problem may have.
std::map<int, std::set<std::string>> problem_codes() {
  std::map<int, std::set<std::string>> out = {
      {400, {"malformed_request", "tls_required"}},
      {401, {"token_required", "token_unknown", "token_expired", "token_revoked"}},
      {403,
       {"host_not_allowed", "cross_site_refused", "role_not_enough", "queue_not_allowed",
        "queue_reserved"}},
      {404, {"route_not_found"}},
      {405, {"method_not_allowed"}},
      {408, {"request_timeout"}},
      {409, {"export_unfinished", "export_failed"}},
      {410, {"export_gone", "worker_gone"}},
      {413, {"body_too_large"}},
      {414, {"target_too_long"}},
      {415, {"unsupported_media_type"}},
      {416, {"range_not_satisfiable"}},
      {417, {"expectation_failed"}},
      {422, {"idempotency_key_reused"}},
      {429, {"rate_exceeded", "too_many_failures", "too_many_streams"}},
      {431, {"head_too_large"}},
      {501, {"method_unknown"}},
      {503, {"no_room"}},
      {504, {"timed_out"}},
      {505, {"version_not_supported"}}};
  for (int code = 1; code <= static_cast<int>(last_errc); ++code) {
    const auto fault = to_problem({static_cast<errc>(code), {}});
    out[fault.status].insert(fault.code);
  }
  return out;
}

json problem_answer(std::string_view meaning, json schema) {
  return {{"description", meaning},
          {"content", {{"application/problem+json", {{"schema", std::move(schema)}}}}}};
}

/// What a token that is for some queues may do with a route that is not an admin's.
std::string_view sentence_of(queue_scope scope) {
  switch (scope) {
  case queue_scope::open:
    return "";
  case queue_scope::path:
    return " A token for some queues: of these only.";
  case queue_scope::filter:
    return " A token for some queues: name one of these by `queue`.";
  case queue_scope::query:
    return " A token for some queues: name some of these, or jobs of them.";
  case queue_scope::job:
  case queue_scope::body:
    return " A token for some queues: jobs of these only.";
  case queue_scope::none:
    break;
  }
  return " Not with a token for some queues.";
}

class document {
public:
  explicit document(std::string_view version) {
    root_ = {
        {"openapi", "3.1.0"},
        {"info",
         {{"title", "Troupe"},
          {"version", version},
          {"summary", "A job orchestration engine on actors and PostgreSQL."},
          {"description",
           "Ids are texts, times are RFC 3339 in UTC, fields that are unknown are refused. "
           "Errors are `application/problem+json` with a pointer to each field at fault. "
           "Lists go on with what `next` says. A request with an `Idempotency-Key` can be sent "
           "again. Lengths of texts are in bytes of UTF-8."},
          {"contact", {{"name", "Whoever runs this node"}}}}},
        {"servers", json::array({{{"url", "/"}, {"description", "This node"}}})},
        // Without tokens nobody is asked for one.
        {"security", json::array({json::object(), {{"bearer", json::array()}}})},
        {"tags",
         json::array(
             {{{"name", "jobs"}, {"description", "What is to be done, and what became of it."}},
              {{"name", "bulk"}, {"description", "Operations on many jobs at once."}},
              {{"name", "exports"}, {"description", "Many jobs as a file that is kept."}},
              {{"name", "queues"}, {"description", "Pauses, limits and order."}},
              {{"name", "nodes"}, {"description", "Who runs jobs, and how many."}},
              {{"name", "work"},
               {"description", "Workers in any language, and the jobs they run."}},
              {{"name", "events"}, {"description", "What changes, as it happens."}},
              {{"name", "tokens"}, {"description", "Who may ask, and who has changed what."}},
              {{"name", "node"}, {"description", "Probes, health and metrics of this node."}},
              {{"name", "documents"}, {"description", "What describes this API."}}})},
        {"paths", json::object()},
        {"components",
         {{"schemas", json::object()},
          {"parameters", json::object()},
          {"responses", json::object()},
          {"securitySchemes",
           {{"bearer",
             {{"type", "http"},
              {"scheme", "bearer"},
              {"description", "A token of this database; its role says what it may do."}}}}}}}};
    read_files();
  }

  void add(const route& entry);
  std::string text();

private:
  json& components(const char* kind) { return root_["components"][kind]; }
  void read_files();
  json answer(const answer_form& form, const route& entry) const;
  json problem_reference(int status);
  void check_references(const json& value) const;

  json root_;
  const std::map<int, std::set<std::string>> codes_ = problem_codes();
};

void document::read_files() {
  for (const auto& [name, text] : embedded_files()) {
    if (!name.ends_with(".json"))
      continue;
    auto content = json::parse(text);
    put_limits(content);
    components(name == "parameters.json" ? "parameters" : "schemas").update(content);
  }
  auto all = json::array();
  std::set<std::string> codes;
  for (const auto& [status, some] : codes_)
    codes.insert(some.begin(), some.end());
  for (const auto& code : codes)
    all.push_back(code);
  components("schemas")["Problem"]["properties"]["code"]["enum"] = std::move(all);
}

/// As a component, made with its first use.
json document::problem_reference(int status) {
  const auto name = "Problem" + std::to_string(status);
  if (!components("responses").contains(name)) {
    auto answer =
        problem_answer(reason_phrase(status),
                       {{"allOf", json::array({reference("schemas", "Problem"),
                                               {{"properties",
                                                 {{"status", {{"const", status}}},
                                                  {"code", {{"enum", codes_.at(status)}}}}}}})}});
    if (status == 401)
      answer["headers"]["WWW-Authenticate"] = {{"description", "`Bearer`, and what was wrong."},
                                               {"schema", {{"type", "string"}}}};
    if (status == 503 || status == 429)
      answer["headers"]["Retry-After"] = {{"description", "Seconds; only when it is retryable."},
                                          {"schema", {{"type", "integer"}}}};
    components("responses")[name] = std::move(answer);
  }
  return reference("responses", name);
}

json document::answer(const answer_form& form, const route& entry) const {
  json out = {{"description", reason_phrase(form.status)}};
  // What is made and has an id has a place.
  const bool made = form.status == 201 || form.status == 202;
  const json::json_pointer all{"/components/schemas/" + std::string{form.schema} + "/required"};
  const auto has_id = [](const json& names) {
    return std::find(names.begin(), names.end(), "id") != names.end();
  };
  if (made && root_.contains(all) && has_id(root_[all]))
    out["headers"]["Location"] = {{"description", "Where it is looked up."},
                                  {"schema", {{"type", "string"}, {"format", "uri-reference"}}}};
  if (std::find(entry.headers.begin(), entry.headers.end(), "IdempotencyKey")
      != entry.headers.end())
    out["headers"]["Idempotent-Replayed"] = {
        {"description", "`true`: this is the answer of the first time."},
        {"schema", {{"type", "boolean"}}}};
  const auto takes_tags = [](std::string_view header) {
    return header == "IfMatch" || header == "IfNoneMatch";
  };
  if (std::any_of(entry.headers.begin(), entry.headers.end(), takes_tags))
    out["headers"]["ETag"] = {
        {"description", "Of what is said of it, not of what changes by itself."},
        {"schema", {{"type", "string"}}}};
  if (!form.schema.empty())
    out["content"][std::string{form.type}]["schema"] = reference("schemas", form.schema);
  return out;
}

void document::add(const route& entry) {
  const auto& what = entry.what;
  auto sentences = std::string{what.more};
  sentences += what.more.empty() ? "" : " ";
  const role needed = entry.role;
  sentences += needed == role::anyone ? "For anyone."
                                      : "Needs the role " + std::string{to_string(needed)} + '.';
  if (needed != role::anyone && needed != role::admin)
    sentences += sentence_of(entry.scope);
  json out = {{"operationId", what.id},
              {"tags", json::array({what.tag})},
              {"summary", what.summary},
              {"description", sentences},
              {"x-troupe-role", to_string(needed)}};
  if (needed == role::anyone)
    out["security"] = json::array();
  auto parameters = json::array();
  const auto begin = entry.pattern.find('{');
  if (begin != std::string_view::npos)
    parameters.push_back(reference(
        "parameters", entry.pattern.substr(begin + 1, entry.pattern.find('}') - begin - 1)));
  for (const auto* names : {&entry.query, &entry.headers})
    for (const auto name : *names)
      parameters.push_back(reference("parameters", name));
  if (!parameters.empty())
    out["parameters"] = std::move(parameters);
  if (entry.body.limit > 0)
    out["requestBody"] = {
        {"description", "At most " + std::to_string(entry.body.limit) + " bytes."},
        {"required", entry.body.required},
        {"content", {{"application/json", {{"schema", reference("schemas", entry.body.schema)}}}}}};
  std::map<int, json> answers;
  for (const auto& form : entry.answers) {
    auto told = answer(form, entry);
    if (auto& all = answers[form.status]; all.is_null())
      all = std::move(told);
    else
      all["content"].update(told["content"]);
  }
  std::set<int> problems{entry.problems.begin(), entry.problems.end()};
  problems.insert({400, 403});
  if (needed != role::anyone)
    problems.insert({401, 429, 503});
  if (begin != std::string_view::npos)
    problems.insert(404);
  if (entry.body.limit > 0)
    problems.insert({413, 415});
  if (entry.pattern.starts_with("/api/"))
    problems.insert(503);
  for (const auto status : problems)
    if (!answers.contains(status))
      answers[status] = problem_reference(status);
  for (auto& [status, form] : answers)
    out["responses"][std::to_string(status)] = std::move(form);
  out["responses"]["default"] = reference("responses", "Problem");
  std::string verb{to_string(entry.verb)};
  std::transform(verb.begin(), verb.end(), verb.begin(),
                 [](char c) { return static_cast<char>(c - 'A' + 'a'); });
  root_["paths"][std::string{entry.pattern}][verb] = std::move(out);
}

void document::check_references(const json& value) const { // NOLINT(misc-no-recursion)
  if (!value.is_structured())
    return;
  for (const auto& [key, part] : value.items()) {
    if (key == "$ref" && part.is_string()
        && !root_.contains(json::json_pointer{part.get<std::string>().substr(1)}))
      throw std::logic_error("a route or a schema names what is not there: "
                             + part.get<std::string>());
    check_references(part);
  }
}

std::string document::text() {
  components("responses")["Problem"] =
      problem_answer("Anything else that went wrong.", reference("schemas", "Problem"));
  check_references(root_);
  return root_.dump();
}

} // namespace

std::string openapi_json(const router& table, std::string_view version) {
  document out{version};
  for (const auto& entry : table.routes())
    out.add(entry);
  return out.text();
}

} // namespace troupe::http
