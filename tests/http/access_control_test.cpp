// Who may call which route: every route of the table with every role, with tokens that open nothing
// and with tokens for some queues; what is asked of the engine for that, and what it costs to
// guess.
#include "http/bearer_token.hpp"
#include "http/event_board.hpp"
#include "http/routes.hpp"
#include "tests/http/expected_access.hpp"
#include "tests/http/running_server.hpp"
#include "tests/http/stored_files.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <set>

using namespace troupe;
using namespace troupe::tests;
using http::bearer_token;
using http::queue_scope;

namespace {

/// Texts that are at their end.
struct no_exports final : export_port {
  struct end final : text_source {
    void next(std::function<void(piece)> reply) override { reply(std::optional<std::string>{}); }
  };
  std::unique_ptr<text_source> jobs(const export_jobs&) override { return std::make_unique<end>(); }
};

std::string bearer(const std::string& secret) {
  return "Authorization: Bearer " + secret + "\r\n";
}

bool has_code(const raw_response& answer, const std::string& code) {
  return answer.body.find("\"code\":\"" + code + '"') != std::string::npos;
}

bool opened(const raw_response& answer) {
  return answer.status != 0 && answer.status != 401 && answer.status != 403 && answer.status != 429;
}

http::server_limits patient() {
  http::server_limits out;
  out.token_failures = 1'000'000;
  out.requests_per_connection = 1'000'000;
  out.token_kept = 1h; // what is counted must not hang on the time that a test takes
  return out;
}

struct guarded_server {
  explicit guarded_server(const http::server_limits& limits = patient())
      : server(limits, &exports, true, &stored) {
    http::services context;
    context.ask = server.engine;
    context.exports = &exports;
    context.events = board.get();
    context.stored_exports = &stored;
    stored.put({17}, finished_export("text"));
    stored.put({18}, finished_export("text", "other"));
    http::add_all_routes(table, context, table_limits);
    server.engine->on_ask([this](const api_request& asked, canned_engine::reply_function reply) {
      reply(answer(asked));
    });
  }

  api_reply answer(const api_request& asked) {
    if (const auto* token = std::get_if<find_token>(&asked)) {
      const std::lock_guard lock{guard};
      const auto known = tokens.find(token->hash);
      if (known == tokens.end())
        return failure{errc::not_found, "there is no such token"};
      return known->second;
    }
    auto usual = canned_engine::usual(asked);
    if (auto* job = std::get_if<job_record>(&usual))
      if (const auto* wanted = std::get_if<get_job>(&asked)) {
        job->id = wanted->id;
        job->queue = wanted->id.value == 17 ? "mail" : "other";
      }
    return usual;
  }

  std::string make(role may, std::vector<std::string> queues = {},
                   token_standing standing = token_standing::live) {
    const auto token = bearer_token::make();
    const std::lock_guard lock{guard};
    const auto id = static_cast<std::int64_t>(tokens.size()) + 1;
    tokens[token.hash()] = {id, "t" + std::to_string(id), may, std::move(queues), standing, {}};
    return token.secret();
  }
  void set(const std::string& secret, token_standing standing) {
    const std::lock_guard lock{guard};
    tokens.at(bearer_token::parse(secret)->hash()).standing = standing;
  }

  static std::string path_of(const http::route& entry, const std::string& param) {
    std::string out{entry.pattern};
    if (const auto begin = out.find('{'); begin != std::string::npos)
      out.replace(begin, out.find('}') - begin + 1, param);
    return out;
  }
  /// On a connection of its own, as a refused body ends it.
  raw_response call(const http::route& entry, const std::string& path, const std::string& fields,
                    const std::string& body = "{}") {
    raw_client client{server.port()};
    const bool endless = entry.answers.front().type == "text/event-stream";
    std::string text{endless ? "HEAD" : to_string(entry.verb)};
    text += ' ' + path + " HTTP/1.1\r\n" + host + fields;
    if (entry.body.limit > 0)
      text += json_type + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    else
      text += "\r\n";
    const auto out = client.ask(text, endless);
    return endless && !opened(out) ? raw_client{server.port()}.ask("GET" + text.substr(4)) : out;
  }
  /// What the engine was asked, but for tokens and for the queues of jobs.
  std::size_t asked() const {
    const auto all = server.engine->asked();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& one) {
      return !std::holds_alternative<find_token>(one) && !std::holds_alternative<get_job>(one);
    }));
  }
  std::size_t lookups() const {
    const auto all = server.engine->asked();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& one) {
      return std::holds_alternative<find_token>(one);
    }));
  }

  std::mutex guard;
  std::map<std::string, found_token> tokens;
  no_exports exports;
  stored_files stored;
  running_server server;
  std::shared_ptr<http::event_board> board = std::make_shared<http::event_board>(
      server.engine, [](const auto&) {}, server.counters.token_changes);
  http::server_limits table_limits;
  http::router table;
};

} // namespace

BOOST_AUTO_TEST_CASE(every_role_may_do_what_it_is_for_and_nothing_else) {
  for (const auto& [has, may] : may_call) {
    BOOST_TEST(allows(has, role::anyone));
    BOOST_TEST(!allows(role::anyone, has));
    for (const auto needed : token_roles)
      BOOST_TEST(allows(has, needed) == may.contains(needed));
    BOOST_TEST((parse_role(to_string(has)) == has));
  }
  BOOST_TEST(may_call.size() == token_roles.size());
  BOOST_TEST(!parse_role("anyone").has_value());
  BOOST_TEST(!parse_role("").has_value());
}

BOOST_FIXTURE_TEST_SUITE(guarded, guarded_server)

BOOST_AUTO_TEST_CASE(each_route_takes_each_role_as_the_table_says) {
  std::map<role, std::string> secrets;
  for (const auto may : token_roles)
    secrets[may] = make(may);
  for (const auto& entry : table.routes()) {
    const role needed = entry.role;
    for (const auto& [has, secret] : secrets) {
      const auto before = asked();
      const auto answer = call(entry, path_of(entry, "17"), bearer(secret));
      const auto place = std::string{entry.what.id} + " as " + std::string{to_string(has)};
      if (needed == role::anyone || may_call.at(has).contains(needed)) {
        BOOST_TEST(opened(answer), place);
      } else {
        BOOST_TEST(answer.status == 403, place);
        BOOST_TEST(has_code(answer, "role_not_enough"), place);
        BOOST_TEST(asked() == before, place);
      }
      BOOST_TEST(answer.body.find(secret) == std::string::npos, place);
      BOOST_TEST(answer.head.find(secret) == std::string::npos, place);
    }
  }
}

BOOST_AUTO_TEST_CASE(without_a_live_token_only_what_is_for_anyone_answers) {
  const auto expired = make(role::admin, {}, token_standing::expired);
  const auto revoked = make(role::admin, {}, token_standing::revoked);
  const auto unknown = bearer_token::make().secret();
  auto broken = unknown;
  std::swap(broken[10], broken[11]);
  broken[12] = broken[12] == 'x' ? 'y' : 'x';
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "token_required"},
      {"Authorization: Basic dXNlcjpwYXNz\r\n", "token_required"},
      {bearer(broken), "token_unknown"},
      {bearer(unknown), "token_unknown"},
      {bearer(expired), "token_expired"},
      {bearer(revoked), "token_revoked"}};
  std::set<std::string> open;
  for (const auto& entry : table.routes())
    for (const auto& [fields, code] : wrong) {
      const auto answer = call(entry, path_of(entry, "17"), fields);
      const auto place = std::string{entry.what.id} + ' ' + code;
      if (static_cast<role>(entry.role) == role::anyone) {
        BOOST_TEST(opened(answer), place);
        open.insert(std::string{entry.pattern});
        continue;
      }
      BOOST_TEST(answer.status == 401, place);
      BOOST_TEST(has_code(answer, code), place);
      const auto challenge = answer.header("WWW-Authenticate");
      BOOST_TEST(challenge.starts_with("Bearer realm=\"troupe\""), place);
      BOOST_TEST((challenge.find("invalid_token") == std::string::npos)
                     == (code == "token_required"),
                 place);
      BOOST_TEST(answer.body.find("trp_") == std::string::npos, place);
    }
  BOOST_TEST(open
                 == (std::set<std::string>{"/livez", "/readyz", "/healthz", "/docs",
                                           "/docs/docs.css", "/docs/docs.js"}),
             boost::test_tools::per_element());
  BOOST_TEST(asked() == 0U);
}

BOOST_AUTO_TEST_CASE(a_token_for_some_queues_reaches_no_other) {
  const auto steering = make(role::operator_, {"mail", "news"});
  const auto working = make(role::worker, {"mail", "news"});
  const auto secret_for = [&](const http::route& entry) {
    return entry.role == role::worker ? working : steering;
  };
  const auto refused = [&](const http::route& entry, const std::string& path,
                           const std::string& body = "{}") {
    const auto before = asked();
    const auto answer = call(entry, path, bearer(secret_for(entry)), body);
    BOOST_TEST(answer.status == 403, path + ' ' + body);
    BOOST_TEST(has_code(answer, "queue_not_allowed"), path + ' ' + body);
    BOOST_TEST(asked() == before, path + ' ' + body);
  };
  const auto taken = [&](const http::route& entry, const std::string& path,
                         const std::string& body = "{}") {
    BOOST_TEST(opened(call(entry, path, bearer(secret_for(entry)), body)), path + ' ' + body);
  };
  std::size_t seen = 0;
  for (const auto& entry : table.routes()) {
    const role needed = entry.role;
    if (needed == role::anyone || needed == role::admin)
      continue;
    ++seen;
    const std::string id{entry.what.id};
    BOOST_REQUIRE_MESSAGE(scopes.contains(id), id);
    const auto path = path_of(entry, "17");
    switch (scopes.at(id)) {
    case queue_scope::none:
      refused(entry, path);
      refused(entry, path + "?queue=mail");
      break;
    case queue_scope::open:
      taken(entry, path);
      break;
    case queue_scope::path:
      taken(entry, path_of(entry, "mail"));
      taken(entry, path_of(entry, "m%61il"));
      refused(entry, path_of(entry, "other"));
      refused(entry, path_of(entry, "Mail"));
      break;
    case queue_scope::filter:
      taken(entry, path + "?queue=mail");
      refused(entry, path);
      refused(entry, path + "?queue=other");
      refused(entry, path + "?queue=");
      refused(entry, path + "?kind=mail");
      refused(entry, path + "?queue=mail&queue=other");
      break;
    case queue_scope::query:
      taken(entry, path + "?queue=mail");
      refused(entry, path);
      refused(entry, path + "?queue=other");
      refused(entry, path + "?queue=mail,other");
      break;
    case queue_scope::job:
      taken(entry, path);
      refused(entry, path_of(entry, "18"));
      break;
    case queue_scope::body:
      break; // the next test
    }
  }
  BOOST_TEST(seen == scopes.size());
}

BOOST_AUTO_TEST_CASE(what_a_body_names_is_looked_at_as_well) {
  const auto secret = make(role::operator_, {"mail"});
  const auto status = [&](const std::string& text) {
    raw_client client{server.port()};
    return client.ask(text).status;
  };
  const auto put = [&](const std::string& job) {
    return status(post("/api/v1/jobs", job, bearer(secret)));
  };
  BOOST_TEST(put(R"({"kind":"echo","queue":"mail"})") == 201);
  const auto before = asked();
  BOOST_TEST(put(R"({"kind":"echo"})") == 403);
  BOOST_TEST(put(R"({"kind":"echo","queue":"other"})") == 403);
  // Its key may be a job's of another queue, which would be shown or changed.
  BOOST_TEST(put(R"({"kind":"echo","queue":"mail","unique":{"args":true}})") == 403);
  const auto many = [&](const std::string& second) {
    return status(post("/api/v1/jobs/bulk",
                       R"({"jobs":[{"kind":"echo","queue":"mail"},)" + second + "]}",
                       bearer(secret)));
  };
  BOOST_TEST(many(R"({"kind":"echo","queue":"other"})") == 403);
  BOOST_TEST(many(R"({"kind":"echo"})") == 403);
  const auto edit = [&](const std::string& body) {
    return status("PATCH /api/v1/jobs/17 HTTP/1.1\r\n" + host + json_type + bearer(secret)
                  + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  BOOST_TEST(edit(R"({"queue":"other"})") == 403);
  BOOST_TEST(asked() == before);
  BOOST_TEST(put(R"({"kind":"echo","queue":"mail","unique":{"queue":true}})") == 201);
  BOOST_TEST(many(R"({"kind":"echo","queue":"mail"})") == 201);
  BOOST_TEST(edit(R"({"queue":"mail"})") == 200);
  BOOST_TEST(edit(R"({"priority":1})") == 200);
}

BOOST_AUTO_TEST_CASE(what_is_changed_says_who_asked) {
  const auto secret = make(role::operator_);
  raw_client client{server.port()};
  client.ask(post("/api/v1/queues/mail/pause?create=true", "{}",
                  bearer(secret) + "X-Request-Id: r-7\r\n"));
  const auto all = server.engine->asked();
  const auto& by = std::get<pause_queue>(all.back()).by;
  BOOST_TEST(by.who == "t1");
  BOOST_TEST(by.token.value_or(0) == 1);
  BOOST_TEST(by.request_id == "r-7");
}

BOOST_AUTO_TEST_CASE(a_token_is_looked_up_once_until_something_was_revoked) {
  const auto secret = make(role::viewer);
  raw_client client{server.port()};
  const auto list = get("/api/v1/jobs", bearer(secret));
  for (int i = 0; i < 5; ++i)
    BOOST_TEST(client.ask(list).status == 200);
  BOOST_TEST(lookups() == 1U);
  ++server.counters.token_changes;
  BOOST_TEST(client.ask(list).status == 200);
  BOOST_TEST(lookups() == 2U);
  set(secret, token_standing::revoked);
  ++server.counters.token_changes;
  const auto answer = client.ask(list);
  BOOST_TEST(answer.status == 401);
  BOOST_TEST(has_code(answer, "token_revoked"));
  BOOST_TEST(server.counters.http_denied == 1U);
}

BOOST_AUTO_TEST_CASE(
    requests_with_the_same_token_share_a_lookup_and_none_from_before_a_revocation) {
  const auto secret = make(role::viewer);
  slow_engine slow{*server.engine};
  raw_client one{server.port()};
  raw_client other{server.port()};
  one.send(get("/api/v1/jobs", bearer(secret)));
  BOOST_REQUIRE(slow.asked.await(1));
  other.send(get("/api/v1/jobs", bearer(secret)) + get("/livez"));
  BOOST_TEST(raw_client{server.port()}.ask(get("/livez")).status == 200); // a turn of the loop
  BOOST_TEST(lookups() == 1U);
  const auto release = [&] {
    std::vector<std::pair<api_request, canned_engine::reply_function>> all;
    {
      const std::lock_guard lock{slow.guard};
      all.swap(slow.waiting);
    }
    for (auto& [request, reply] : all)
      reply(answer(request));
  };
  ++server.counters.token_changes;
  release(); // live, but from before
  BOOST_REQUIRE(slow.asked.await(2));
  BOOST_TEST(lookups() == 2U);
  set(secret, token_standing::revoked);
  release();
  BOOST_TEST(one.receive().status == 401);
  BOOST_TEST(other.receive().status == 401);
  BOOST_TEST(other.receive().status == 200);
  BOOST_TEST(asked() == 0U);
}

BOOST_AUTO_TEST_CASE(an_engine_that_cannot_say_is_no_failure_of_the_token) {
  const auto secret = make(role::viewer);
  server.engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::unavailable, "the database is away"});
  });
  raw_client client{server.port()};
  const auto away = client.ask(get("/api/v1/jobs", bearer(secret)));
  BOOST_TEST(away.status == 503);
  BOOST_TEST(has_code(away, "unavailable"));
  server.engine->on_ask([](const api_request&, const canned_engine::reply_function&) {});
  const auto dropped = client.ask(get("/api/v1/jobs", bearer(secret)));
  BOOST_TEST(dropped.status == 503);
  BOOST_TEST(has_code(dropped, "stopping"));
  BOOST_TEST(client.ask(get("/readyz")).status == 503); // as ever: nothing has looked yet
  BOOST_TEST(client.ask(get("/livez")).status == 200);
}

BOOST_AUTO_TEST_CASE(a_body_is_not_read_before_it_is_known_whose_it_is) {
  raw_client client{server.port()};
  const auto refused = client.ask("POST /api/v1/jobs/bulk HTTP/1.1\r\n" + host + json_type
                                  + "Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n");
  BOOST_TEST(refused.status == 401);
  BOOST_TEST(refused.header("Connection") == "close");
  BOOST_TEST(client.ended());
  const auto secret = make(role::producer);
  raw_client again{server.port()};
  const std::string job = R"({"kind":"echo"})";
  const auto go_on = again.ask("POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type + bearer(secret)
                               + "Content-Length: " + std::to_string(job.size())
                               + "\r\nExpect: 100-continue\r\n\r\n");
  BOOST_TEST(go_on.status == 100);
  BOOST_TEST(again.ask(job).status == 201);
}

BOOST_AUTO_TEST_CASE(requests_in_one_go_are_answered_each_for_its_own_token) {
  const auto viewer = make(role::viewer);
  const auto producer = make(role::producer);
  raw_client client{server.port()};
  const std::string job = R"({"kind":"echo"})";
  client.send(get("/api/v1/jobs", bearer(viewer)) + post("/api/v1/jobs", job, bearer(producer))
              + get("/api/v1/jobs") + get("/livez") + post("/api/v1/jobs", job, bearer(viewer)));
  for (const int status : {200, 201, 401, 200, 403})
    BOOST_TEST(client.receive().status == status);
}

BOOST_AUTO_TEST_CASE(the_header_comes_once) {
  const auto secret = make(role::viewer);
  raw_client client{server.port()};
  const auto twice = client.ask(get("/api/v1/jobs", bearer(secret) + bearer(secret)));
  BOOST_TEST(twice.status == 400);
  BOOST_TEST(has_code(twice, "malformed_request"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(guesses_of_one_address_are_few_and_harm_no_token_that_was_live) {
  http::server_limits limits;
  limits.token_failures = 3;
  limits.token_failure = 1h;
  guarded_server node{limits};
  const auto known = node.make(role::viewer);
  const auto late = node.make(role::viewer);
  raw_client client{node.server.port()};
  const auto status = [&](const std::string& fields) {
    return client.ask(get("/api/v1/jobs", fields)).status;
  };
  BOOST_TEST(status(bearer(known)) == 200);
  for (int i = 0; i < 20; ++i)
    BOOST_TEST(status("") == 401); // no guess
  for (int i = 0; i < 3; ++i)
    BOOST_TEST(status(bearer(bearer_token::make().secret())) == 401);
  const auto before = node.lookups();
  const auto refused = client.ask(get("/api/v1/jobs", bearer(bearer_token::make().secret())));
  BOOST_TEST(refused.status == 429);
  BOOST_TEST(has_code(refused, "too_many_failures"));
  const int wait = std::stoi(refused.header("Retry-After")); // from the first failure on
  BOOST_TEST((wait > 3500 && wait <= 3600), wait);
  BOOST_TEST(refused.body.find("\"retryable\":true") != std::string::npos);
  BOOST_TEST(status(bearer("trp_x")) == 429);
  BOOST_TEST(status(bearer(late)) == 429);
  BOOST_TEST(node.lookups() == before);
  BOOST_TEST(status("") == 401);
  ++node.server.counters.token_changes; // so that it is looked up again
  BOOST_TEST(status(bearer(known)) == 200);
  node.set(known, token_standing::revoked);
  ++node.server.counters.token_changes;
  BOOST_TEST(status(bearer(known)) == 401);
  BOOST_TEST(status(bearer(known)) == 429);
}

BOOST_AUTO_TEST_CASE(where_no_tokens_are_required_nobody_is_asked) {
  running_server server;
  raw_client client{server.port()};
  BOOST_TEST(client.ask(get("/api/v1/jobs", "Authorization: Bearer trp_x\r\n")).status == 200);
  BOOST_TEST(client.ask(post("/api/v1/queues/mail/pause?create=true", "{}")).status != 401);
  const auto all = server.engine->asked();
  BOOST_TEST(all.size() == 2U);
  const auto& by = std::get<pause_queue>(all.back()).by;
  BOOST_TEST(by.who == "anyone");
  BOOST_TEST(!by.token.has_value());
  BOOST_TEST(!by.request_id.empty());
}
