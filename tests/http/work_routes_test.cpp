// /api/v1/work without a socket: what is asked of the engine, where the secret goes, what is wrong
// with a request and with one outcome among others, and how answers are written.
#include "http/json_work.hpp"
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/routed_call.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace troupe;
using namespace troupe::http;
using namespace std::chrono_literals;
using nlohmann::json;
using tests::canned_engine;

namespace {

struct work_routes {
  work_routes() {
    context.ask = engine;
    add_work_routes(table, context, limits);
    engine->on_ask([this](const api_request& asked, const canned_engine::reply_function& reply) {
      if (std::holds_alternative<join_worker>(asked))
        return reply(joined_worker{node_id{17}});
      reply(next);
    });
    const auto told = json::parse(call("join", R"({"name":"w","queues":["mail"]})").body);
    session = told["session"];
    hash = std::get<join_worker>(engine->asked().back()).by.hash;
  }

  response call(const std::string& what, const std::string& body) {
    request_view request;
    request.body = body;
    request.who = who;
    request.request_id = "r-2";
    return tests::routed_call(table, method::post, "/api/v1/work/" + what, request);
  }
  /// With the session as its first member.
  response with_session(const std::string& what, const std::string& more) {
    return call(what, "{\"session\":\"" + session + "\"" + more + "}");
  }
  template<class Ask>
  Ask asked() const {
    return std::get<Ask>(engine->asked().back());
  }
  std::string pointer_of(const std::string& what, const std::string& more) {
    const auto before = engine->asked().size();
    const auto answer = with_session(what, more);
    BOOST_TEST(answer.status == 400, what + more);
    BOOST_REQUIRE(answer.fault && !answer.fault->errors.empty());
    BOOST_TEST(engine->asked().size() == before);
    return answer.fault->errors[0].pointer;
  }

  const token_identity ada{5, "ada", role::worker, {"mail", "news"}};
  const token_identity* who = &ada;
  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  api_reply next = failure{errc::internal, "nothing was set"};
  services context;
  server_limits limits;
  router table;
  std::string session;
  std::string hash;
};

struct kept_spans : span_sink {
  void add(std::vector<span> ended) override { all.insert(all.end(), ended.begin(), ended.end()); }
  std::size_t room() const override { return 1; }
  void lose(std::size_t) override {}
  std::vector<span> all;
};

using pairs = std::vector<std::pair<std::string, std::string>>;

} // namespace

BOOST_FIXTURE_TEST_SUITE(work, work_routes)

BOOST_AUTO_TEST_CASE(a_worker_is_told_its_session_once_and_the_engine_only_its_hash) {
  const auto answer = call("join", R"({"name":"py-1","queues":["mail","news"],"kinds":["a","b"],)"
                                   R"("slots":4,"version":"1.2","lease_ms":20000})");
  BOOST_TEST(answer.status == 201);
  BOOST_TEST(answer.location == "/api/v1/nodes/py-1");
  const auto told = json::parse(answer.body);
  const auto ask = asked<join_worker>();
  BOOST_TEST(ask.name == "py-1");
  BOOST_TEST((ask.queues == std::vector<std::string>{"mail", "news"}));
  BOOST_TEST((*ask.kinds == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(ask.slots == 4);
  BOOST_TEST(ask.version == "1.2");
  BOOST_TEST((ask.lease == 20s));
  BOOST_TEST(ask.by.hash.size() == 32U);
  BOOST_TEST(ask.by.token.value_or(0) == 5);
  BOOST_TEST(told["id"] == "17");
  BOOST_TEST(told["heartbeat_ms"] == 4000);
  BOOST_TEST(told["session"].get<std::string>().starts_with("17."));
  BOOST_TEST(told["session"] != session);
  BOOST_TEST(ask.by.hash != hash);
  BOOST_TEST((heartbeat_of(5s) == 1s));
  BOOST_TEST((heartbeat_of(600s) == 5s));
}

BOOST_AUTO_TEST_CASE(who_has_the_session_speaks_for_the_worker_and_with_the_same_token) {
  next = left_worker{{job_id{3}}, {}};
  const auto answer = with_session("leave", "");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(json::parse(answer.body)["put_back"] == json({"3"}));
  BOOST_TEST(asked<leave_worker>().by.node.value == 17);
  BOOST_TEST(asked<leave_worker>().by.hash == hash);
  BOOST_TEST(asked<leave_worker>().by.token.value_or(0) == 5);
  who = nullptr;
  with_session("leave", "");
  BOOST_TEST(!asked<leave_worker>().by.token.has_value());
  auto broken = session;
  broken.back() = broken.back() == 'a' ? 'b' : 'a';
  for (const auto& wrong : {broken, session.substr(3), std::string{"17."},
                            std::string{"0."} + session.substr(3), std::string{}, "x" + session}) {
    const auto refused = call("leave", json{{"session", wrong}}.dump());
    BOOST_TEST(refused.status == 400, wrong);
    BOOST_TEST(refused.fault->errors[0].pointer == "/session", wrong);
  }
  next = failure{errc::fenced, "join anew"};
  const auto gone = with_session("leave", "");
  BOOST_TEST(gone.status == 410);
  BOOST_TEST(gone.fault->code == "worker_gone");
}

BOOST_AUTO_TEST_CASE(a_claim_says_what_it_wants_and_how_long_it_waits) {
  claimed_job job;
  job.lease = lease_id{9};
  job.id = job_id{3};
  job.attempt = 2;
  job.max_attempts = 5;
  job.timeout = 1500ms;
  job.queue = "mail";
  job.kind = "send";
  job.args = R"({"a":[1]})";
  job.priority = 1;
  job.tags = {"x\"", "y"};
  job.created_at = timestamp{std::chrono::seconds{1'700'000'000}};
  auto traced = job;
  traced.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  next = claimed_work{{job, traced}};
  const auto answer =
      with_session("claim", R"(,"queues":["news","mail"],"limit":2,"wait_ms":30000)");
  const auto ask = asked<claim_work>();
  BOOST_TEST((ask.queues == std::vector<std::string>{"news", "mail"}));
  BOOST_TEST(ask.limit == 2);
  BOOST_TEST((ask.wait == 30s));
  const auto told = json::parse(answer.body)["jobs"];
  BOOST_TEST(told.size() == 2U);
  BOOST_TEST(told[0] == json::parse(R"({"id":"3","lease":"9","attempt":2,"max_attempts":5,
    "queue":"mail","kind":"send","priority":1,"args":{"a":[1]},"timeout_ms":1500,
    "tags":["x\"","y"],"limit_key":null,"created_at":"2023-11-14T22:13:20Z"})"));
  BOOST_TEST(told[1]["traceparent"] == traced.traceparent);
  next = claimed_work{};
  BOOST_TEST(with_session("claim", R"(,"queues":["mail"])").body == R"({"jobs":[]})");
  BOOST_TEST((asked<claim_work>().wait == 0s));
  BOOST_TEST(asked<claim_work>().limit == 1);
}

BOOST_AUTO_TEST_CASE(a_claim_names_the_span_that_the_finish_exports) {
  const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  claimed_job job;
  job.lease = lease_id{9};
  job.id = job_id{3};
  job.args = "{}";
  job.traceparent = parent;
  const auto claimed = [&] {
    next = claimed_work{{job}};
    const auto told = json::parse(with_session("claim", R"(,"queues":["mail"])").body)["jobs"];
    return told[0].value("traceparent", "");
  };
  const auto finish = [&] {
    next = finished_work{
        {work_fate::done}, {}, {{job_id{3}, 5ms, run_end::completed, "mail", "send", parent}}};
    with_session("finish", R"(,"outcomes":[{"lease":"9","job":"3","attempt":1,)"
                           R"("outcome":"completed"}])");
    return asked<finish_work>().tell;
  };
  BOOST_TEST(claimed() == parent);
  BOOST_TEST(!finish());
  kept_spans spans;
  context.spans = &spans;
  const auto own = claimed();
  BOOST_TEST(own != parent);
  BOOST_TEST(finish());
  BOOST_REQUIRE_EQUAL(spans.all.size(), 1U);
  BOOST_TEST(to_traceparent(spans.all[0].self) == own);
  BOOST_TEST(spans.all[0].parent == "00f067aa0ba902b7");
}

BOOST_AUTO_TEST_CASE(a_token_for_some_queues_works_in_these_only) {
  const auto before = engine->asked().size();
  BOOST_TEST(call("join", R"({"name":"w","queues":["mail","other"]})").status == 403);
  BOOST_TEST(with_session("claim", R"(,"queues":["other"])").status == 403);
  BOOST_TEST(engine->asked().size() == before);
}

BOOST_AUTO_TEST_CASE(a_heartbeat_names_what_runs_and_is_told_what_to_stop) {
  work_pulse pulse;
  pulse.cancelled = {job_id{1}};
  pulse.lost = {job_id{2}, job_id{3}};
  pulse.wanted = work_wish::quiet;
  next = pulse;
  auto told = json::parse(with_session("heartbeat", R"(,"jobs":["1","2","3"])").body);
  BOOST_TEST(
      told == json::parse(R"({"state":"quiet","cancelled":["1"],"lost":["2","3"],"put_back":[]})"));
  BOOST_TEST(asked<beat_worker>().jobs->size() == 3U);
  next = work_pulse{};
  told = json::parse(with_session("heartbeat", "").body);
  BOOST_TEST(told["state"] == "run");
  BOOST_TEST(!asked<beat_worker>().jobs.has_value());
  with_session("heartbeat", R"(,"jobs":[])");
  BOOST_TEST(asked<beat_worker>().jobs->empty());
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_one_outcome_is_no_fault_of_the_others) {
  next = finished_work{{work_fate::done, work_fate::fenced, work_fate::cancelled}, {}};
  const auto answer = with_session("finish", R"(,"outcomes":[
    {"lease":"9","job":"1","attempt":1,"outcome":"completed","result":{"b":[1.50]}},
    {"lease":"9","job":"2","attempt":0,"outcome":"completed"},
    {"lease":"9","job":"3","attempt":1,"outcome":"failed","error":"no","retry_ms":5},
    {"lease":"9","job":"3","attempt":1,"outcome":"completed"},
    {"lease":"9","job":"4","attempt":2,"outcome":"snoozed","retry_ms":0},
    {"lease":"9","attempt":1,"outcome":"done"}])");
  BOOST_TEST(answer.status == 200);
  const auto ask = asked<finish_work>();
  BOOST_REQUIRE_EQUAL(ask.runs.size(), 3U);
  BOOST_TEST(ask.runs[0].result.result == R"({"b":[1.50]})");
  BOOST_TEST((ask.runs[1].result.kind == job_result::verdict::failed));
  BOOST_TEST(ask.runs[1].result.error == "no");
  BOOST_TEST((ask.runs[1].result.retry_in == 5ms));
  BOOST_TEST(ask.runs[2].attempt == 2);
  const auto told = json::parse(answer.body)["results"];
  const std::vector<std::string> statuses{"done",    "invalid",   "fenced",
                                          "invalid", "cancelled", "invalid"};
  for (std::size_t i = 0; i < statuses.size(); ++i)
    BOOST_TEST(told[i]["status"] == statuses[i], i);
  BOOST_TEST(told[1]["job"] == "2");
  BOOST_TEST(told[1]["errors"][0]["pointer"] == "/outcomes/1/attempt");
  BOOST_TEST(told[3]["errors"][0]["pointer"] == "/outcomes/3/job");
  BOOST_TEST(told[5]["job"].is_null());
  BOOST_TEST(told[5]["errors"].size() == 2U);
  const auto before = engine->asked().size();
  const auto none = with_session("finish", R"(,"outcomes":[1])");
  BOOST_TEST(json::parse(none.body)["results"][0]["status"] == "invalid");
  BOOST_TEST(engine->asked().size() == before);
}

BOOST_AUTO_TEST_CASE(an_outcome_has_what_is_of_its_kind) {
  next = finished_work{{}, {}};
  const std::string run = R"(,"outcomes":[{"lease":"9","job":"1","attempt":1,"outcome":)";
  for (const auto& [rest, pointer] : pairs{{R"("snoozed"}])", "/retry_ms"},
                                           {R"("completed","error":"x"}])", "/error"},
                                           {R"("completed","retry_ms":1}])", "/retry_ms"},
                                           {R"("failed","result":1}])", "/result"},
                                           {R"("discarded","retry_ms":1}])", "/retry_ms"},
                                           {R"("failed","error":1}])", "/error"},
                                           {R"("failed","retry_ms":-1}])", "/retry_ms"},
                                           {R"("lost"}])", "/outcome"},
                                           {R"("failed","why":"x"}])", "/why"}}) {
    const auto told = json::parse(with_session("finish", run + rest).body)["results"][0];
    BOOST_TEST(told["status"] == "invalid", rest);
    BOOST_TEST(told["errors"][0]["pointer"] == "/outcomes/0" + pointer, rest);
  }
}

BOOST_AUTO_TEST_CASE(what_runs_say_goes_on_and_is_cut) {
  next = reported_work{{job_id{1}}, 3};
  const auto answer =
      with_session("report", R"(,"progress":[{"lease":"9","job":"1","attempt":1,"percent":12.5,
    "message":")" + std::string(999, 'a')
                                 + R"(ä"}],"lines":[{"lease":"9","job":"2","attempt":1,"line":")"
                                 + std::string(9'000, 'b') + R"(","level":"warn","ago_ms":7}])");
  BOOST_TEST(json::parse(answer.body) == json::parse(R"({"fenced":["1"],"dropped":3})"));
  const auto told = asked<report_work>().told;
  BOOST_TEST(told.progress.at(0).percent.value_or(0) == 12.5);
  BOOST_TEST(told.progress[0].message == std::string(999, 'a'));
  BOOST_TEST(told.progress[0].run.lease.value == 9);
  BOOST_TEST((told.lines.at(0).level == line_level::warn));
  BOOST_TEST((told.lines[0].ago == 7ms));
  BOOST_TEST(told.lines[0].text.size() == 8'192U);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_told_by_its_place) {
  const std::string run = R"({"lease":"9","job":"1","attempt":1)";
  for (const auto& [body, pointer] :
       pairs{{R"({"queues":["q"]})", "/name"},
             {R"({"name":"a b","queues":["q"]})", "/name"},
             {R"({"name":"w","queues":[]})", "/queues"},
             {R"({"name":"w","queues":["q","q"]})", "/queues"},
             {R"({"name":"w","queues":["q","?"]})", "/queues/1"},
             {R"({"name":"w","queues":["q"],"kinds":[]})", "/kinds"},
             {R"({"name":"w","queues":["q"],"slots":0})", "/slots"},
             {R"({"name":"w","queues":["q"],"lease_ms":4999})", "/lease_ms"},
             {R"({"name":"w","queues":["q"],"version":""})", "/version"},
             {R"({"name":"w","queues":["q"],"x":1})", "/x"},
             {R"([])", ""}}) {
    const auto refused = call("join", body);
    BOOST_TEST(refused.status == 400, body);
    BOOST_TEST(refused.fault->errors[0].pointer == pointer, body);
  }
  BOOST_TEST(pointer_of("claim", "") == "/queues");
  BOOST_TEST(pointer_of("claim", R"(,"queues":["mail"],"limit":101)") == "/limit");
  BOOST_TEST(pointer_of("claim", R"(,"queues":["mail"],"wait_ms":30001)") == "/wait_ms");
  BOOST_TEST(pointer_of("heartbeat", R"(,"jobs":["1",2])") == "/jobs/1");
  BOOST_TEST(pointer_of("finish", R"(,"outcomes":[])") == "/outcomes");
  BOOST_TEST(pointer_of("leave", R"(,"why":1)") == "/why");
  BOOST_TEST(pointer_of("report", R"(,"progress":[)" + run + R"(,"percent":101}])")
             == "/progress/0/percent");
  BOOST_TEST(pointer_of("report", R"(,"lines":[)" + run + "}]") == "/lines/0/line");
  BOOST_TEST(pointer_of("report", R"(,"lines":[)" + run + R"(,"line":"a","level":"loud"}])")
             == "/lines/0/level");
  std::string many = R"(,"outcomes":[)" + run + "}";
  for (int i = 0; i < 100; ++i)
    many += "," + run + "}";
  BOOST_TEST(pointer_of("finish", many + "]") == "/outcomes");
}

BOOST_AUTO_TEST_CASE(an_operator_makes_a_worker_quiet_or_ends_it) {
  next = steered_worker{node_id{17}};
  BOOST_TEST(call("workers/17/quiet", "").status == 204);
  BOOST_TEST(!asked<steer_worker>().terminate);
  BOOST_TEST(asked<steer_worker>().by.who == "ada");
  BOOST_TEST(call("workers/17/terminate", "{}").status == 204);
  BOOST_TEST(asked<steer_worker>().terminate);
  BOOST_TEST(asked<steer_worker>().node.value == 17);
  BOOST_TEST(call("workers/x/quiet", "").status == 404);
  BOOST_TEST(call("workers/17/quiet", R"({"a":1})").status == 400);
}

BOOST_AUTO_TEST_CASE(no_worker_works_in_a_queue_of_the_engine) {
  who = nullptr;
  const auto before = engine->asked().size();
  for (const auto& answer : {call("join", R"({"name":"w","queues":["mail","troupe.exports"]})"),
                             with_session("claim", R"(,"queues":["troupe.exports"])")}) {
    BOOST_TEST(answer.status == 403);
    BOOST_REQUIRE(answer.fault);
    BOOST_TEST(answer.fault->code == "queue_reserved");
  }
  BOOST_TEST(engine->asked().size() == before);
}

BOOST_AUTO_TEST_SUITE_END()
