// Routes called without a socket: jobs, probes, health, metrics, index.
#include "http/metrics.hpp"
#include "http/routes.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/routed_call.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <optional>
#include <string>

using namespace troupe;
using namespace troupe::http;
using nlohmann::json;
using tests::canned_engine;

namespace {

struct routes_fixture {
  routes_fixture() {
    context.ask = engine;
    context.health = &health;
    context.counters = &counters;
    context.database = &database;
    context.kinds = {"echo"};
    context.node = "n\"1";
    context.version = "1.2.3";
    context.commit = "0123456789ab";
    context.draining = [this] { return draining; };
    add_job_routes(table, context, limits);
    add_system_routes(table, context, limits);
  }

  response call(method verb, std::string_view target, std::string_view body = {}) {
    request_view request;
    request.body = body;
    return tests::routed_call(table, verb, target, request);
  }

  void publish(bool ready, health_status status, std::chrono::seconds ago = {}) {
    health_report report;
    report.ready = ready;
    report.status = status;
    report.taken_at = std::chrono::steady_clock::now() - ago;
    report.checks = {{"database", status, std::chrono::microseconds{412},
                      status == health_status::ok ? "" : "refuses \"us\""}};
    health.publish(report);
  }

  template<class Question>
  Question last_question() const {
    return std::get<Question>(engine->asked().back());
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  health_board health;
  database_metrics database;
  engine_counters counters;
  bool draining = false;
  server_limits limits;
  services context;
  router table;
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(routes, routes_fixture)

BOOST_AUTO_TEST_CASE(create_answers_201_with_the_job_and_its_location) {
  const auto answer = call(method::post, "/api/v1/jobs", R"({"kind":"echo","args":[1.10]})");
  BOOST_TEST(answer.status == 201);
  BOOST_TEST(answer.location == "/api/v1/jobs/17");
  const auto job = json::parse(answer.body);
  BOOST_TEST(job["id"] == "17");
  BOOST_TEST(job["state"] == "available");
  BOOST_TEST(job["created_at"] == "2023-11-14T22:13:20Z");
  BOOST_TEST(job["attempts"].empty());
  BOOST_TEST(answer.body.find(R"("args":[1.10])") != std::string::npos);
  BOOST_TEST(engine->asked().size() == 1U);
}

BOOST_AUTO_TEST_CASE(create_reads_the_job_back_when_the_store_does_not_tell_the_time) {
  engine->on_ask([](const api_request& request, const canned_engine::reply_function& reply) {
    auto answer = canned_engine::usual(request);
    if (auto* stored = std::get_if<enqueued_jobs>(&answer))
      stored->created_at.reset();
    reply(answer);
  });
  const auto answer = call(method::post, "/api/v1/jobs", R"({"kind":"echo"})");
  BOOST_TEST(answer.status == 201);
  BOOST_TEST(answer.location == "/api/v1/jobs/17");
  BOOST_TEST((last_question<get_job>().id == job_id{17}));
}

BOOST_AUTO_TEST_CASE(a_refused_job_asks_the_engine_nothing) {
  BOOST_TEST(call(method::post, "/api/v1/jobs", R"({"kind":"x"})").status == 400);
  BOOST_TEST(call(method::post, "/api/v1/jobs/bulk", R"({"jobs":[{"kind":"x"}]})").status == 400);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(bulk_create_answers_ids_in_order) {
  const auto answer = call(method::post, "/api/v1/jobs/bulk",
                           R"({"jobs":[{"kind":"echo"},{"kind":"echo","priority":3}]})");
  BOOST_TEST(answer.status == 201);
  BOOST_TEST(answer.body == R"({"ids":["17","18"]})");
  BOOST_TEST(last_question<enqueue_jobs>().jobs.at(1).priority == 3);
}

BOOST_AUTO_TEST_CASE(a_list_passes_filters_on_and_its_cursor_leads_to_the_next_page) {
  const auto first = call(method::get, "/api/v1/jobs?state=running&queue=q&kind=echo&limit=2");
  BOOST_TEST(first.status == 200);
  const auto asked = last_question<list_jobs>();
  BOOST_TEST((asked.filter.state == job_state::running));
  BOOST_TEST(*asked.filter.queue == "q");
  BOOST_TEST(*asked.filter.kind == "echo");
  BOOST_TEST(asked.limit == 2);
  const auto page = json::parse(first.body);
  BOOST_TEST(page["jobs"].size() == 2U);
  BOOST_TEST(!page["jobs"][0].contains("attempts"));
  const std::string cursor = page["next"];
  BOOST_TEST(
      call(method::get, "/api/v1/jobs?state=running&queue=q&kind=echo&cursor=" + cursor).status
      == 200);
  BOOST_TEST((last_question<list_jobs>().before == job_id{16}));
  BOOST_TEST(last_question<list_jobs>().limit == 50);
  BOOST_TEST(call(method::get, "/api/v1/jobs?cursor=" + cursor).status == 400);
}

BOOST_AUTO_TEST_CASE(a_list_reads_args_only_when_they_are_in_its_answer) {
  for (const auto& [query, wanted] : std::vector<std::pair<std::string, bool>>{
           {"", true}, {"?fields=id,args", true}, {"?fields=id,state,limit_key", false}}) {
    BOOST_TEST(call(method::get, "/api/v1/jobs" + query).status == 200);
    BOOST_TEST(last_question<list_jobs>().args == wanted, query);
  }
}

BOOST_AUTO_TEST_CASE(a_search_passes_its_fields_on_and_a_page_without_jobs_may_have_a_cursor) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    job_page page;
    page.next = job_id{9'000};
    reply(std::move(page));
  });
  const std::string search =
      "/api/v1/jobs?tag=a&tag=b&limit_key=k&created_from=2030-01-31T08:00:00Z"
      "&created_before=2030-02-01T00:00:00Z&args=%7B%22n%22:%201%7D";
  const auto first = call(method::get, search);
  BOOST_TEST(first.status == 200);
  const auto asked = last_question<list_jobs>().filter;
  BOOST_TEST((asked.tags == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(asked.limit_key.value() == "k");
  BOOST_TEST((*asked.created_before - *asked.created_from == std::chrono::hours{16}));
  BOOST_TEST(asked.args == R"({"n":1})");
  const auto page = json::parse(first.body);
  BOOST_TEST(page["jobs"].empty());
  const std::string cursor = page["next"];
  BOOST_TEST(call(method::get, search + "&cursor=" + cursor).status == 200);
  BOOST_TEST((last_question<list_jobs>().before == job_id{9'000}));
  BOOST_TEST(call(method::get, "/api/v1/jobs?tag=a&cursor=" + cursor).status == 400);
  for (const auto* wrong : {"tag=", "tag=%FF", "created_from=soon", "args=7", "args=%7B%7D"}) {
    const std::string text{wrong};
    const auto refused = call(method::get, "/api/v1/jobs?" + text);
    BOOST_TEST(refused.status == 400, text);
    BOOST_TEST(
        refused.fault->detail.starts_with("query parameter " + text.substr(0, text.find('='))),
        text);
  }
}

BOOST_AUTO_TEST_CASE(a_page_of_huge_jobs_ends_early_and_its_cursor_goes_on_there) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    job_page page;
    for (int id = 40; id > 0; --id) {
      page.jobs.push_back(canned_engine::job({id}));
      page.jobs.back().args = '"' + std::string(1024 * 1024 - 2, 'x') + '"';
    }
    reply(std::move(page));
  });
  const auto page = json::parse(call(method::get, "/api/v1/jobs?limit=40").body);
  BOOST_REQUIRE(page["jobs"].size() == 16U);
  BOOST_TEST(page["jobs"][15]["id"] == "25");
  const std::string cursor = page["next"];
  call(method::get, "/api/v1/jobs?cursor=" + cursor);
  BOOST_TEST((last_question<list_jobs>().before == job_id{25}));
}

BOOST_AUTO_TEST_CASE(the_last_page_has_no_cursor) {
  engine->on_ask(
      [](const api_request&, const canned_engine::reply_function& reply) { reply(job_page{}); });
  BOOST_TEST(call(method::get, "/api/v1/jobs").body == R"({"jobs":[],"next":null})");
}

BOOST_AUTO_TEST_CASE(bad_list_parameters_are_400) {
  for (const auto* query :
       {"state=done", "state=", "queue=", "queue=a/b", "kind=%00", "limit=0", "limit=501",
        "limit=-1", "limit=1.0", "limit=99999999999999999999", "limit=", "cursor=x", "page=2",
        "limit=1&limit=2", "queue='%20or%201=1"})
    BOOST_TEST(call(method::get, std::string{"/api/v1/jobs?"} + query).status == 400, query);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(one_job_is_got_cancelled_retried_and_deleted) {
  BOOST_TEST(call(method::get, "/api/v1/jobs/17").status == 200);
  BOOST_TEST((last_question<get_job>().id == job_id{17}));
  BOOST_TEST(call(method::post, "/api/v1/jobs/17/cancel").status == 200);
  BOOST_TEST((last_question<cancel_job>().id == job_id{17}));
  BOOST_TEST(call(method::post, "/api/v1/jobs/17/retry", "{}").status == 200);
  BOOST_TEST((last_question<retry_job>().id == job_id{17}));
  const auto removed = call(method::del, "/api/v1/jobs/17");
  BOOST_TEST(removed.status == 204);
  BOOST_TEST((last_question<delete_job>().id == job_id{17}));
  BOOST_TEST(call(method::post, "/api/v1/jobs/17/cancel", R"({"x":1})").status == 400);
}

BOOST_AUTO_TEST_CASE(a_log_is_asked_for_behind_the_line_that_is_known) {
  BOOST_TEST(json::parse(call(method::get, "/api/v1/jobs/17/logs").body)["lines"][0]["number"]
             == "1");
  BOOST_TEST(call(method::get, "/api/v1/jobs/17/logs?after=41&limit=1000").status == 200);
  const auto asked = std::get<get_log>(engine->asked().at(1));
  BOOST_TEST(asked.after == 41);
  BOOST_TEST(asked.limit == 1000);
  BOOST_TEST(call(method::get, "/api/v1/jobs/17/logs?after=0").status == 200);
  BOOST_TEST(std::get<get_log>(engine->asked().at(2)).after == 0);
  for (const char* wrong :
       {"?limit=1001", "?limit=0", "?after=x", "?after=-1", "?level=info", "?a=1&a=1"})
    BOOST_TEST(call(method::get, "/api/v1/jobs/17/logs" + std::string{wrong}).status == 400, wrong);
  BOOST_TEST(call(method::get, "/api/v1/jobs/x/logs").status == 404);
  BOOST_TEST(engine->asked().size() == 3U);
}

BOOST_AUTO_TEST_CASE(what_is_no_id_is_404_without_asking) {
  for (const auto* id : {"0", "-1", "abc", "9223372036854775808", "1%20"})
    BOOST_TEST(call(method::get, std::string{"/api/v1/jobs/"} + id).status == 404, id);
  BOOST_TEST(call(method::del, "/api/v1/jobs/0").status == 404);
  BOOST_TEST(engine->asked().empty());
}

BOOST_AUTO_TEST_CASE(failures_become_problems) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(failure{errc::overloaded, "too many"});
  });
  for (const auto& answer :
       {call(method::get, "/api/v1/jobs"), call(method::get, "/api/v1/jobs/17"),
        call(method::post, "/api/v1/jobs", R"({"kind":"echo"})"),
        call(method::del, "/api/v1/jobs/17"),
        call(method::post, "/api/v1/jobs/bulk", R"({"jobs":[{"kind":"echo"}]})")}) {
    BOOST_TEST(answer.status == 503);
    BOOST_TEST(answer.fault->code == "overloaded");
    BOOST_TEST(answer.fault->retry_after == 1);
  }
}

BOOST_AUTO_TEST_CASE(an_answer_of_the_wrong_kind_is_500) {
  engine->on_ask([](const api_request&, const canned_engine::reply_function& reply) {
    reply(deleted_job{{1}});
  });
  BOOST_TEST(call(method::get, "/api/v1/jobs").status == 500);
  BOOST_TEST(call(method::post, "/api/v1/jobs", R"({"kind":"echo"})").status == 500);
}

BOOST_AUTO_TEST_CASE(alive_means_only_that_the_process_answers) {
  BOOST_TEST(call(method::get, "/livez").status == 200);
  draining = true;
  BOOST_TEST(call(method::get, "/livez").status == 200);
}

BOOST_AUTO_TEST_CASE(ready_needs_a_fresh_good_report_and_no_drain) {
  BOOST_TEST(call(method::get, "/readyz").status == 503);
  publish(true, health_status::ok);
  BOOST_TEST(call(method::get, "/readyz").status == 200);
  BOOST_TEST(call(method::get, "/healthz").status == 200);
  publish(true, health_status::degraded);
  BOOST_TEST(call(method::get, "/readyz").status == 200);
  publish(true, health_status::ok, std::chrono::seconds{16});
  BOOST_TEST(call(method::get, "/readyz").body.find("ms old") != std::string::npos);
  BOOST_TEST(call(method::get, "/readyz").status == 503);
  publish(false, health_status::failing);
  BOOST_TEST(call(method::get, "/readyz").body == "not ready; database: refuses \"us\"\n");
  publish(true, health_status::ok);
  draining = true;
  BOOST_TEST(call(method::get, "/readyz").status == 503);
  BOOST_TEST(call(method::get, "/readyz").body.find("draining") == 0U);
}

BOOST_AUTO_TEST_CASE(health_shows_every_check) {
  BOOST_TEST(call(method::get, "/api/v1/health").status == 503);
  publish(true, health_status::ok);
  const auto answer = call(method::get, "/api/v1/health");
  BOOST_TEST(answer.status == 200);
  const auto health_json = json::parse(answer.body);
  BOOST_TEST(health_json["status"] == "ok");
  BOOST_TEST(health_json["ready"] == true);
  BOOST_TEST(health_json["node"] == "n\"1");
  BOOST_TEST(health_json["checks"][0]["name"] == "database");
  BOOST_TEST(health_json["checks"][0]["latency_ms"] == 0.412);
  BOOST_TEST(health_json["checks"][0]["age_ms"] >= 0);
  BOOST_TEST(health_json["checks"][0]["reason"].is_null());
  publish(false, health_status::failing);
  const auto failing = call(method::get, "/api/v1/health");
  BOOST_TEST(failing.status == 503);
  BOOST_TEST(json::parse(failing.body)["checks"][0]["reason"] == "refuses \"us\"");
  health_report late;
  late.taken_at = std::chrono::steady_clock::now();
  late.checks = {{"database", health_status::failing, {}, "silent"},
                 {"clock", health_status::ok, {}, {}, late.taken_at - std::chrono::seconds{9}}};
  health.publish(late);
  const auto aged = json::parse(call(method::get, "/api/v1/health").body)["checks"];
  BOOST_TEST(aged[1]["age_ms"].get<int>() - aged[0]["age_ms"].get<int>() >= 9000);
  publish(true, health_status::ok, std::chrono::seconds{60});
  BOOST_TEST(json::parse(call(method::get, "/api/v1/health").body)["status"] == "failing");
}

BOOST_AUTO_TEST_CASE(health_shows_the_connections_with_their_backends) {
  publish(true, health_status::ok);
  BOOST_TEST(json::parse(call(method::get, "/api/v1/health").body)["connections"].empty());
  for (const std::size_t number : {0, 2}) {
    auto& slot = database.slot(number);
    slot.holder = 1 + number;
    slot.backend_pid = 100 + static_cast<int>(number);
    slot.up_since = std::chrono::steady_clock::now() - std::chrono::seconds{9};
    slot.statements = 5;
    slot.lent = number == 2;
  }
  const auto shown = json::parse(call(method::get, "/api/v1/health").body)["connections"];
  BOOST_REQUIRE(shown.size() == 2U);
  BOOST_TEST(shown[1]["slot"] == 2);
  BOOST_TEST(shown[1]["backend_pid"] == 102);
  BOOST_TEST(shown[1]["age_ms"] >= 9000);
  BOOST_TEST(shown[1]["lent"] == true);
  BOOST_TEST(shown[0]["lent"] == false);
  BOOST_TEST(shown[0]["in_flight"] == 0);
  BOOST_TEST(shown[0]["statements"] == 5);
  BOOST_TEST(shown[0]["errors"] == 0);
}

BOOST_AUTO_TEST_CASE(metrics_are_prometheus_text_of_the_counters) {
  counters.jobs_enqueued = 41;
  counters.running = 3;
  BOOST_TEST(call(method::get, "/metrics").body.find("troupe_queue_jobs") == std::string::npos);
  counters.jobs.store(std::make_shared<const std::vector<job_counts>>(
      std::vector<job_counts>{{"mail", 1, 2, 3, 4, 5, 6, 7}}));
  const auto answer = call(method::get, "/metrics");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.content_type == "text/plain; version=0.0.4; charset=utf-8");
  for (const auto* line :
       {"# TYPE troupe_jobs_enqueued_total counter\ntroupe_jobs_enqueued_total 41\n",
        "# TYPE troupe_jobs_running gauge\ntroupe_jobs_running 3\n",
        "# TYPE troupe_queue_jobs gauge\ntroupe_queue_jobs{queue=\"mail\",state=\"scheduled\"} 1\n",
        "troupe_queue_jobs{queue=\"mail\",state=\"available\"} 2\n",
        "troupe_queue_jobs{queue=\"mail\",state=\"discarded\"} 7\n",
        "troupe_build_info{version=\"1.2.3\",commit=\"0123456789ab\",node=\"n\\\"1\"} 1\n",
        "process_cpu_seconds_total "})
    BOOST_TEST(answer.body.find(line) != std::string::npos, line);
  BOOST_TEST(read_process().resident_bytes > 1'000'000);
  BOOST_TEST(read_process().open_descriptors > 2);
}

BOOST_AUTO_TEST_CASE(the_index_lists_every_route) {
  const auto index = json::parse(call(method::get, "/").body);
  BOOST_TEST(index["routes"].size() == table.routes().size());
  BOOST_TEST(index["version"] == "1.2.3");
}

BOOST_AUTO_TEST_SUITE_END()
