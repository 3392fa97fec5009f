// /openapi.json against the route table, the readers and the words of the code; and /docs.
#include "http/cursor.hpp"
#include "http/embedded.hpp"
#include "http/event_board.hpp"
#include "http/json.hpp"
#include "http/json_queue.hpp"
#include "http/openapi.hpp"
#include "http/routes.hpp"
#include "messages/why.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/stored_files.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

/// Texts that are at their end.
struct no_jobs final : export_port {
  struct end final : text_source {
    void next(std::function<void(piece)> reply) override { reply(std::optional<std::string>{}); }
  };
  std::unique_ptr<text_source> jobs(const export_jobs&) override {
    ++asked;
    return std::make_unique<end>();
  }
  std::size_t asked = 0;
};

struct whole_server {
  whole_server() {
    context.ask = engine;
    context.exports = &exports;
    context.events = board.get();
    context.stored_exports = &stored;
    context.kinds = {"echo"};
    context.version = "1.2.3";
    add_all_routes(table, context, limits);
    api = json::parse(call(method::get, "/openapi.json").body);
  }

  response call(method verb, const std::string& target, const request_head* head = nullptr) const {
    const auto question = target.find('?');
    auto matched = table.match(verb, target.substr(0, question));
    if (auto* refused = std::get_if<response>(&matched))
      return *refused;
    auto& found = std::get<route_match>(matched);
    request_view request;
    request.verb = verb;
    const auto query = question == std::string::npos ? "" : target.substr(question + 1);
    request.query = query;
    request.param = found.param;
    static const request_head nothing;
    request.head = head != nullptr ? head : &nothing;
    std::optional<response> out;
    found.found->handle(request, [&](response answer) { out = std::move(answer); });
    BOOST_REQUIRE(out);
    return *out;
  }

  const json& resolve(const json& value) const {
    if (!value.contains("$ref"))
      return value;
    return api.at(json::json_pointer{value["$ref"].get<std::string>().substr(1)});
  }

  const json& operation_of(const route& entry) const {
    std::string verb{to_string(entry.verb)};
    std::transform(verb.begin(), verb.end(), verb.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    return api.at("paths").at(std::string{entry.pattern}).at(verb);
  }

  /// Of its query, as documented.
  std::vector<json> query_of(const route& entry) const {
    std::vector<json> out;
    for (const auto& one : operation_of(entry).value("parameters", json::array()))
      if (const auto& parameter = resolve(one); parameter["in"] == "query")
        out.push_back(parameter);
    return out;
  }

  std::string value_for(const json& parameter) const {
    const auto& whole = resolve(parameter["schema"]);
    const auto& schema = whole["type"] == "array" ? whole["items"] : whole;
    if (parameter["name"] == "cursor")
      return make_cursor(job_id{17}, {});
    if (schema.contains("enum"))
      return schema["enum"][0];
    if (schema["type"] == "integer")
      return std::to_string(schema["maximum"].get<int>());
    return schema.contains("examples") ? schema["examples"][0] : schema["default"];
  }

  static std::string path_of(const route& entry) {
    std::string out{entry.pattern};
    if (const auto begin = out.find('{'); begin != std::string::npos)
      out.replace(begin, out.find('}') - begin + 1, "17");
    return out;
  }

  std::size_t asked() const { return engine->asked().size() + exports.asked + stored.asked(); }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  no_jobs exports;
  std::atomic<std::uint64_t> turn{0};
  std::shared_ptr<event_board> board = std::make_shared<event_board>(
      engine, [](const event_board::task& what) { what(); }, turn);
  tests::stored_files stored;
  services context;
  server_limits limits;
  router table;
  json api;
};

/// Every object within, with its place.
void visit(const json& value, const std::string& at,
           const std::function<void(const json&, const std::string&)>& see) {
  if (value.is_object())
    see(value, at);
  if (value.is_structured())
    for (const auto& [key, part] : value.items())
      visit(part, at + '/' + key, see);
}

/// Of a sentence, behind the last `before`.
std::vector<std::string> words_after(const std::string& text, std::string_view before) {
  std::vector<std::string> out;
  const auto begin = text.rfind(before);
  if (begin == std::string::npos)
    return out;
  std::string word;
  for (const char c : text.substr(begin + before.size()) + ' ') {
    if ((c >= 'a' && c <= 'z') || c == '_')
      word += c;
    else if (!word.empty())
      out.push_back(std::exchange(word, {}));
  }
  return out;
}

std::string text_of(std::string_view name) {
  for (const auto& file : embedded_files())
    if (file.name == name)
      return std::string{file.text};
  throw std::logic_error("no such file");
}

} // namespace

BOOST_FIXTURE_TEST_SUITE(openapi, whole_server)

BOOST_AUTO_TEST_CASE(every_route_is_in_the_document_and_the_other_way_round) {
  std::size_t documented = 0;
  for (const auto& [path, item] : api["paths"].items())
    documented += item.size();
  BOOST_TEST(documented == table.routes().size());
  for (const auto& entry : table.routes()) {
    const auto& operation = operation_of(entry);
    BOOST_TEST(operation["operationId"] == entry.what.id);
    BOOST_TEST(operation["summary"] == entry.what.summary);
    const role needed = entry.role;
    BOOST_TEST(operation["x-troupe-role"] == to_string(needed));
    const auto told = operation["description"].get<std::string>();
    const bool for_some = needed != role::anyone && needed != role::admin;
    BOOST_TEST((told.find("Not with a token for some queues") != std::string::npos)
                   == (for_some && entry.scope == queue_scope::none),
               entry.pattern);
    BOOST_TEST(
        (told.find("A token for some queues: ") != std::string::npos)
            == (for_some && entry.scope != queue_scope::none && entry.scope != queue_scope::open),
        entry.pattern);
    BOOST_TEST(operation.contains("requestBody") == (entry.body.limit > 0), entry.pattern);
    for (const auto& form : entry.answers)
      BOOST_TEST(operation["responses"].contains(std::to_string(form.status)), entry.pattern);
    for (const auto status : entry.problems)
      BOOST_TEST(operation["responses"].contains(std::to_string(status)), entry.pattern);
  }
  BOOST_TEST(api["openapi"] == "3.1.0");
  BOOST_TEST(api["info"]["version"] == "1.2.3");
}

BOOST_AUTO_TEST_CASE(references_lead_somewhere_and_every_component_is_led_to) {
  std::set<std::string> named;
  visit(api, "", [&](const json& value, const std::string& at) {
    if (!value.contains("$ref") || !value["$ref"].is_string())
      return;
    const auto target = value["$ref"].get<std::string>().substr(1);
    BOOST_TEST(api.contains(json::json_pointer{target}), at);
    named.insert(target);
  });
  for (const auto* kind : {"schemas", "parameters", "responses"})
    for (const auto& [name, form] : api["components"][kind].items())
      BOOST_TEST(named.contains("/components/" + std::string{kind} + '/' + name), name);
  std::set<std::string> tags;
  for (const auto& tag : api["tags"])
    tags.insert(tag["name"]);
  for (const auto& entry : table.routes())
    BOOST_TEST(tags.contains(std::string{entry.what.tag}), entry.what.tag);
}

BOOST_AUTO_TEST_CASE(what_is_not_there_cannot_be_named) {
  const auto with = [&](const std::function<void(route&)>& change) {
    router small;
    route entry{.pattern = "/x/{id}",
                .role = role::viewer,
                .what = {"x", "jobs", "X"},
                .answers = {{200, "Job"}},
                .handle = [](const request_view&, const responder&) {}};
    change(entry);
    small.add(std::move(entry));
    return openapi_json(small, "1");
  };
  BOOST_TEST(!with([](route&) {}).empty());
  BOOST_CHECK_THROW(with([](route& r) { r.answers = {{200, "Jbo"}}; }), std::logic_error);
  BOOST_CHECK_THROW(with([](route& r) { r.body = {"Jbo", 10}; }), std::logic_error);
  BOOST_CHECK_THROW(with([](route& r) { r.query = {"Jbo"}; }), std::logic_error);
  BOOST_CHECK_THROW(with([](route& r) { r.pattern = "/x/{jbo}"; }), std::logic_error);
  BOOST_CHECK_THROW(with([](route& r) { r.problems = {418}; }), std::logic_error);
}

BOOST_AUTO_TEST_CASE(parameters_that_are_documented_are_read_and_others_are_refused) {
  for (const auto& entry : table.routes()) {
    if (!entry.pattern.starts_with("/api/") || entry.verb != method::get)
      continue;
    const auto path = path_of(entry);
    // What never ends by itself is asked for its head, for which the engine is not asked.
    const bool endless = entry.answers.front().type == "text/event-stream";
    const auto verb = endless ? method::head : entry.verb;
    std::set<std::string> documented;
    for (const auto& parameter : query_of(entry)) {
      documented.insert(parameter["name"]);
      const auto before = asked();
      const auto query = parameter["name"].get<std::string>() + '=' + value_for(parameter);
      BOOST_TEST(call(verb, path + '?' + query).status != 400, path + '?' + query);
      BOOST_TEST(asked() == before + (endless ? 0 : 1), path + '?' + query);
      if (!parameter["schema"].contains("maximum"))
        continue;
      for (const auto beyond : {parameter["schema"]["maximum"].get<int>() + 1,
                                parameter["schema"]["minimum"].get<int>() - 1})
        BOOST_TEST(call(entry.verb, path + "?limit=" + std::to_string(beyond)).status == 400, path);
    }
    const auto before = asked();
    const auto refused = call(entry.verb, path + "?xyzzy=1");
    BOOST_TEST(refused.status == 400, path);
    BOOST_TEST(asked() == before);
    // What the refusal says that there is, is what is documented.
    std::set<std::string> told;
    for (const auto& word : words_after(refused.fault->detail, " take"))
      if (word != "s" && word != "and" && word != "or" && word != "no" && word != "query")
        told.insert(word);
    BOOST_TEST(told == documented, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(limits_are_those_of_the_code_by_name) {
  const std::set<std::int64_t> words = {8,   10,       20, 100,
                                        599, INT64_MAX}; // states, sample, errors, percent, status
  std::size_t by_name = 0;
  for (const auto& file : embedded_files()) {
    if (!file.name.ends_with(".json"))
      continue;
    visit(json::parse(file.text), std::string{file.name},
          [&](const json& value, const std::string& at) {
            for (const auto* key : {"maximum", "maxLength", "maxItems"})
              if (value.contains(key) && !at.ends_with("/properties")) {
                by_name += value[key].is_string() ? 1 : 0;
                BOOST_TEST(
                    (value[key].is_string() || words.contains(value[key].get<std::int64_t>())),
                    at + '/' + key);
              }
          });
  }
  BOOST_TEST(by_name > 30U);
  const auto& job = api["components"]["schemas"]["NewJob"]["properties"];
  BOOST_TEST(job["priority"]["maximum"] == limits::max_priority);
  BOOST_TEST(job["timeout_ms"]["maximum"] == limits::max_timeout.count());
  BOOST_TEST(job["limit_key"]["maxLength"] == limits::limit_key_length);
  BOOST_TEST(api["components"]["parameters"]["JobPageSize"]["schema"]["maximum"]
             == limits::page_size);
}

BOOST_AUTO_TEST_CASE(every_field_has_a_type_and_what_is_read_a_meaning_and_no_others_beside_it) {
  const std::set<std::string> any{"args", "result"};
  for (const auto& [name, schema] : api["components"]["schemas"].items()) {
    BOOST_TEST(schema.contains("description"), name);
    visit(schema, name, [&, &whole = name](const json& value, const std::string& at) {
      if (value.value("type", json{}) != "object" || !value.contains("properties"))
        return;
      const bool is_read = value.contains("additionalProperties");
      for (const auto& [field, form] : value["properties"].items()) {
        const auto place = at + '/' + field;
        const bool typed = form.contains("type") || form.contains("enum") || form.contains("const")
                           || form.contains("oneOf") || form.contains("$ref");
        BOOST_TEST((typed || any.contains(field)), place);
        if (is_read && whole != "OpenApi" && !form.contains("const"))
          BOOST_TEST(
              (form.contains("description") || form.contains("$ref") || form.contains("oneOf")),
              place);
      }
    });
  }
  // Whatever is read refuses what it does not know.
  std::set<std::string> read;
  const std::function<void(const std::string&)> follow = [&](const std::string& name) {
    if (!read.insert(name).second)
      return;
    visit(api["components"]["schemas"][name], name, [&](const json& value, const std::string& at) {
      if (value.value("type", json{}) == "object")
        BOOST_TEST((value.value("additionalProperties", json{}) == (name == "ContainedArgs")), at);
      if (value.contains("$ref"))
        follow(
            value["$ref"].get<std::string>().substr(std::string{"#/components/schemas/"}.size()));
    });
  };
  for (const auto& entry : table.routes())
    if (entry.body.limit > 0)
      follow(std::string{entry.body.schema});
  BOOST_TEST(read.size() > 8U);
}

BOOST_AUTO_TEST_CASE(words_are_those_of_the_code) {
  const auto& schemas = api["components"]["schemas"];
  const auto names = [](auto last, int first = 0) {
    std::set<std::string> out;
    for (int i = first; i <= static_cast<int>(last); ++i)
      out.insert(std::string{to_string(static_cast<decltype(last)>(i))});
    return out;
  };
  const auto told = [&](const char* pointer) {
    std::set<std::string> out;
    for (const auto& word : schemas.at(json::json_pointer{pointer}))
      if (!word.is_null())
        out.insert(word);
    return out;
  };
  BOOST_TEST(told("/State/enum") == names(job_state::discarded));
  BOOST_TEST(told("/JobHold/properties/reason/enum") == names(hold_reason::no_kind));
  BOOST_TEST(told("/Attempt/properties/outcome/enum") == names(outcome::lost, 1));
  BOOST_TEST(told("/UniqueRule/properties/on_conflict/enum") == names(on_conflict::replace));
  BOOST_TEST(told("/NodeState/enum") == names(node_state::dead));
  BOOST_TEST(told("/NewBulk/properties/action/enum") == names(bulk_action::reprioritise));
  BOOST_TEST(told("/LogPage/properties/lines/items/properties/level/enum")
             == names(line_level::error, 1));
  for (int code = 1; code <= static_cast<int>(last_errc); ++code)
    BOOST_TEST(told("/Problem/properties/code/enum").contains(to_string(static_cast<errc>(code))));
  BOOST_TEST(told("/BulkOperation/properties/action/enum")
             == told("/NewBulk/properties/action/enum"));
}

BOOST_AUTO_TEST_CASE(fields_that_can_be_chosen_are_those_of_the_code) {
  const auto pattern = [](std::span<const std::string_view> names) {
    std::string all;
    for (const auto name : names)
      all.append(all.empty() ? "" : "|").append(name);
    return "^(" + all + ")(,(" + all + "))*$";
  };
  const auto& parameters = api["components"]["parameters"];
  BOOST_TEST(parameters["JobFields"]["schema"]["pattern"] == pattern(job_fields(true)));
  BOOST_TEST(parameters["ListedJobFields"]["schema"]["pattern"] == pattern(job_fields(false)));
  BOOST_TEST(parameters["QueueFields"]["schema"]["pattern"] == pattern(queue_fields()));
}

BOOST_AUTO_TEST_CASE(whoever_has_the_document_is_told_so) {
  const auto first = call(method::get, "/openapi.json");
  BOOST_TEST(first.status == 200);
  BOOST_TEST(!first.etag.empty());
  for (const auto& tag :
       {first.etag, "W/" + first.etag, "\"x\", " + first.etag, std::string{"*"}}) {
    request_head head;
    head.fields = {{"If-None-Match", tag}};
    const auto again = call(method::get, "/openapi.json", &head);
    BOOST_TEST(again.status == 304, tag);
    BOOST_TEST(again.body.empty());
    BOOST_TEST(again.etag == first.etag);
  }
  request_head packs;
  packs.fields = {{"Accept-Encoding", "gzip"}};
  const auto packed = call(method::get, "/openapi.json", &packs);
  BOOST_TEST(packed.gzip);
  BOOST_TEST((packed.varies && first.varies && !first.gzip));
  BOOST_TEST(packed.body.size() < first.body.size() / 4);
  BOOST_TEST(packed.etag != first.etag);
  packs.fields.push_back({"If-None-Match", first.etag}); // of the other form
  BOOST_TEST(call(method::get, "/openapi.json", &packs).status == 200);
  packs.fields.back().value = packed.etag;
  BOOST_TEST(call(method::get, "/openapi.json", &packs).status == 304);
  request_head other;
  other.fields = {{"If-None-Match", "\"1\""}};
  BOOST_TEST(call(method::get, "/openapi.json", &other).status == 200);
  std::string head;
  append_head(head, first, {"now", "r", true, 11});
  BOOST_TEST(head.find("\r\nCache-Control: no-cache\r\n") != std::string::npos);
  BOOST_TEST(head.find("\r\nETag: " + first.etag + "\r\n") != std::string::npos);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(the_page_and_all_it_needs_are_built_in) {
  const auto page = call(method::get, "/docs");
  BOOST_TEST(page.content_type == "text/html; charset=utf-8");
  for (const auto* field : {"Content-Security-Policy: default-src 'none'; script-src 'self'",
                            "X-Frame-Options: DENY\r\n", "Referrer-Policy: no-referrer\r\n"})
    BOOST_TEST(page.more_fields.find(field) != std::string_view::npos, field);
  BOOST_TEST(page.more_fields.find("unsafe") == std::string_view::npos);
  std::size_t links = 0;
  for (const std::string_view before : {"src=\"", "href=\""})
    for (auto at = page.body.find(before); at != std::string::npos;
         at = page.body.find(before, at)) {
      at += before.size();
      const auto target = page.body.substr(at, page.body.find('"', at) - at);
      if (target.starts_with('#') || target == "data:,")
        continue;
      ++links;
      BOOST_TEST(call(method::get, '/' + target).status == 200, target);
    }
  BOOST_TEST(links == 3U);
  for (const auto* name : {"docs.html", "docs.css", "docs.js"}) {
    const auto text = text_of(name);
    BOOST_TEST(text.find("://") == std::string::npos, name);
    for (const auto* word :
         {"innerHTML", "eval(", "style=\"", " onclick", "@import", "document.write"})
      BOOST_TEST(text.find(word) == std::string::npos, word);
  }
  for (const auto* word : {"<script>", "<style>"})
    BOOST_TEST(page.body.find(word) == std::string::npos, word);
}

BOOST_AUTO_TEST_SUITE_END()
