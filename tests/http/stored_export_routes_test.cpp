// The routes of exports that are kept: what is asked of the port, files and their ranges to the
// byte, and whose they are.
#include "http/bearer_token.hpp"
#include "tests/http/running_server.hpp"
#include "tests/http/stored_files.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

const std::string etag = '"' + std::string(64, 'a') + '"';
const std::string file_path = "/api/v1/exports/17/file";

std::string code_of(const raw_response& answer) {
  return nlohmann::json::parse(answer.body).value("code", "none");
}

std::string del(const std::string& target) {
  return "DELETE " + target + " HTTP/1.1\r\n" + host + "\r\n";
}

struct serving {
  stored_files files;
  running_server server{&files};
  raw_client client{server.port()};
  const std::string text = [] {
    std::string out;
    for (int i = 0; i < 1000; ++i)
      out += std::to_string(i % 10);
    return out;
  }();

  raw_response get_file(const std::string& fields = {}) {
    return client.ask(get(file_path, fields));
  }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(stored_export_routes, serving)

BOOST_AUTO_TEST_CASE(an_export_is_put_in_with_its_key_and_has_a_place) {
  files.put({17}, finished_export(text));
  const auto made = client.ask(post("/api/v1/exports",
                                    R"({"format":"csv","compression":"gzip","state":"completed",)"
                                    R"("queue":"mail","kind":"echo","limit":5,"tags":["a","b"],)"
                                    R"("created_from":"2030-01-31T08:00:00Z",)"
                                    R"("args":{"customer":{"id":7}}})",
                                    "Idempotency-Key: k 1\r\n"));
  BOOST_TEST(made.status == 202);
  BOOST_TEST(made.header("Location") == "/api/v1/exports/17");
  BOOST_TEST(made.header("Idempotent-Replayed") == "");
  BOOST_TEST(nlohmann::json::parse(made.body)["id"] == "17");
  const auto asked = files.started().at(0);
  BOOST_TEST((asked.what.format == export_format::csv));
  BOOST_TEST(asked.gzip);
  BOOST_TEST((asked.what.filter.state == job_state::completed));
  BOOST_TEST(asked.what.filter.queue.value() == "mail");
  BOOST_TEST(asked.what.filter.kind.value() == "echo");
  BOOST_TEST((asked.what.filter.tags == std::vector<std::string>{"a", "b"}));
  BOOST_TEST(asked.what.filter.created_from.has_value());
  BOOST_TEST(asked.what.filter.args == R"({"customer":{"id":7}})");
  BOOST_TEST(asked.what.limit.value() == 5);
  BOOST_TEST(files.keys().at(0) == "k 1");
  files.answer_start(started_export{{17}, key_use::replayed});
  BOOST_TEST(
      client.ask(post("/api/v1/exports", R"({"format":"json"})")).header("Idempotent-Replayed")
      == "true");
  BOOST_TEST(!files.started().at(1).gzip);
  files.answer_start(started_export{{}, key_use::refused});
  BOOST_TEST(client.ask(post("/api/v1/exports", R"({"format":"json"})")).status == 422);
  files.answer_start(failure{errc::conflict, "there are 100 exports"});
  BOOST_TEST(client.ask(post("/api/v1/exports", R"({"format":"json"})")).status == 409);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_told_with_its_place) {
  for (const auto& [body, pointer] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "/format"},
           {R"({"format":"xml"})", "/format"},
           {R"({"format":1})", "/format"},
           {R"({"format":"csv","compression":"zip"})", "/compression"},
           {R"({"format":"csv","compression":true})", "/compression"},
           {R"({"format":"csv","state":"lost"})", "/state"},
           {R"({"format":"csv","queue":"a b"})", "/queue"},
           {R"({"format":"csv","kind":7})", "/kind"},
           {R"({"format":"csv","limit":0})", "/limit"},
           {R"({"format":"csv","limit":1.5})", "/limit"},
           {R"({"format":"csv","limit":1000000001})", "/limit"},
           {R"({"format":"csv","all":1})", "/all"},
           {"[]", ""}}) {
    const auto answer = client.ask(post("/api/v1/exports", body));
    BOOST_TEST(answer.status == 400, body);
    BOOST_TEST(nlohmann::json::parse(answer.body)["errors"][0]["pointer"] == pointer, body);
  }
  BOOST_TEST(files.started().empty());
  for (const auto* query : {"limit=0", "limit=101", "before=x", "queue=a%20b", "state=running"})
    BOOST_TEST(client.ask(get(std::string{"/api/v1/exports?"} + query)).status == 400, query);
  BOOST_TEST(files.listed().empty());
  for (const auto* path : {"/api/v1/exports/x", "/api/v1/exports/18", "/api/v1/exports/18/file"})
    BOOST_TEST(client.ask(get(path)).status == 404, path);
}

BOOST_AUTO_TEST_CASE(an_export_is_shown_with_its_file_and_in_lists) {
  files.put({17}, finished_export(text));
  auto waits = finished_export("");
  waits.told.file.reset();
  waits.told.state = job_state::running;
  waits.told.message = "262144 bytes";
  waits.told.order.what.filter.queue.reset();
  files.put({18}, waits);
  const auto one = nlohmann::json::parse(client.ask(get("/api/v1/exports/17")).body);
  BOOST_TEST(one["state"] == "completed");
  BOOST_TEST(one["queue"] == "mail");
  BOOST_TEST(one["file"]["bytes"] == 1000);
  BOOST_TEST(one["file"]["rows"] == 2);
  BOOST_TEST(one["file"]["sha256"] == std::string(64, 'a'));
  BOOST_TEST(one["file"]["expires_at"] == "2023-11-15T22:13:20Z");
  const auto page =
      nlohmann::json::parse(client.ask(get("/api/v1/exports?queue=mail&limit=2&before=19")).body);
  BOOST_TEST(page["exports"].size() == 2U);
  BOOST_TEST(page["exports"][0]["file"].is_null());
  BOOST_TEST(page["exports"][0]["progress"] == "262144 bytes");
  BOOST_TEST(page["exports"][0]["queue"].is_null());
  BOOST_TEST(page["next"].is_null());
  const auto asked = files.listed().at(0);
  BOOST_TEST(asked.queue.value() == "mail");
  BOOST_TEST(asked.limit == 2);
  BOOST_TEST(asked.before.value == 19);
}

BOOST_AUTO_TEST_CASE(a_file_has_its_length_and_the_connection_goes_on) {
  files.put({17}, finished_export(text));
  for (int round = 0; round < 2; ++round) {
    const auto whole = get_file();
    BOOST_TEST(whole.status == 200);
    BOOST_TEST(whole.body == text);
    BOOST_TEST(whole.header("Content-Length") == "1000");
    BOOST_TEST(whole.header("Transfer-Encoding") == "");
    BOOST_TEST(whole.header("Vary") == "");
    BOOST_TEST(whole.header("Accept-Ranges") == "bytes");
    BOOST_TEST(whole.header("ETag") == etag);
    BOOST_TEST(whole.header("Content-Type") == "application/x-ndjson");
    BOOST_TEST(whole.header("Content-Disposition") == "attachment; filename=\"jobs-17.ndjson\"");
  }
  const auto before = files.reads();
  const auto head =
      client.ask("HEAD " + file_path + " HTTP/1.1\r\n" + host + "Range: bytes=0-1\r\n\r\n", true);
  BOOST_TEST(head.status == 200); // a range is of GET alone
  BOOST_TEST(head.header("Content-Length") == "1000");
  BOOST_TEST(head.header("ETag") == etag);
  BOOST_TEST(files.reads() == before);
  files.put({17}, finished_export(text, "mail", true));
  const auto packed = get_file("Accept-Encoding: gzip\r\n");
  BOOST_TEST(packed.header("Content-Type") == "application/gzip");
  BOOST_TEST(packed.header("Content-Encoding") == "");
  BOOST_TEST(packed.header("Content-Disposition") == "attachment; filename=\"jobs-17.ndjson.gz\"");
  BOOST_TEST(packed.body == text); // as it is stored
  files.put({17}, finished_export(""));
  const auto empty = get_file();
  BOOST_TEST(empty.status == 200);
  BOOST_TEST(empty.header("Content-Length") == "0");
  BOOST_TEST(client.ask(get("/livez")).body == "ok\n");
}

BOOST_AUTO_TEST_CASE(a_client_of_http_1_0_may_keep_its_connection) {
  files.put({17}, finished_export(text));
  const auto ask = "GET " + file_path + " HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n";
  for (int round = 0; round < 2; ++round) {
    const auto answer = client.ask(ask);
    BOOST_TEST(answer.header("Connection") == "keep-alive");
    BOOST_TEST(answer.body == text);
  }
}

BOOST_AUTO_TEST_CASE(ranges_are_the_bytes_of_the_whole) {
  files.put({17}, finished_export(text));
  const auto part = [&](const std::string& range, std::size_t first, std::size_t last) {
    const auto answer = get_file("Range: " + range + "\r\n");
    BOOST_TEST(answer.status == 206, range);
    BOOST_TEST(answer.header("Content-Range")
               == "bytes " + std::to_string(first) + '-' + std::to_string(last) + "/1000");
    BOOST_TEST(answer.header("Content-Length") == std::to_string(last + 1 - first));
    BOOST_TEST(answer.header("ETag") == etag);
    BOOST_TEST(answer.body == text.substr(first, last + 1 - first), range);
  };
  part("bytes=0-0", 0, 0);
  part("bytes=3-9", 3, 9);
  part("bytes=990-", 990, 999);
  part("bytes=-5", 995, 999);
  part("bytes=500-5000", 500, 999);
  for (const auto* all : {"bytes=0-0,5-6", "bytes=9-3", "items=0-1", "nonsense"}) {
    const auto answer = get_file(std::string{"Range: "} + all + "\r\n");
    BOOST_TEST(answer.status == 200, all);
    BOOST_TEST(answer.header("Content-Range") == "", all);
    BOOST_TEST(answer.body == text, all);
  }
  for (const auto* none : {"bytes=1000-", "bytes=-0"}) {
    const auto answer = get_file(std::string{"Range: "} + none + "\r\n");
    BOOST_TEST(answer.status == 416, none);
    BOOST_TEST(answer.header("Content-Range") == "bytes */1000", none);
    BOOST_TEST(code_of(answer) == "range_not_satisfiable", none);
  }
  BOOST_TEST(get_file("Range: bytes=1-2\r\nIf-Range: " + etag + "\r\n").body == "12");
  BOOST_TEST(get_file("Range: bytes=1-2\r\nIf-Range: \"b\"\r\n").body == text);
  BOOST_TEST(get_file("Range: bytes=1-2\r\nIf-None-Match: " + etag + "\r\n").status == 304);
  BOOST_TEST(get_file("If-None-Match: \"b\"\r\n").status == 200);
  BOOST_TEST(get_file("If-Match: " + etag + "\r\n").status == 200);
  BOOST_TEST(get_file("If-Match: \"b\"\r\nRange: bytes=1-2\r\n").status == 412);
  BOOST_TEST(get_file("If-Match: W/" + etag + "\r\n").status == 412);
}

BOOST_AUTO_TEST_CASE(a_file_that_goes_while_it_is_read_is_not_taken_for_whole) {
  auto cut = finished_export(text);
  cut.ends_at = 100;
  files.put({17}, cut);
  client.send(get(file_path));
  BOOST_TEST(client.receive().body.size() < text.size()); // and the end of the connection
  BOOST_TEST(raw_client{server.port()}.ask(get("/livez")).body == "ok\n");
}

BOOST_AUTO_TEST_CASE(without_a_file_the_answer_says_why) {
  const auto code = [&](job_state state, const std::string& error = {}) {
    auto one = finished_export("");
    one.told.file.reset();
    one.told.state = state;
    one.told.error = error;
    files.put({17}, one);
    const auto answer = get_file();
    BOOST_TEST(answer.header("Retry-After") == (code_of(answer) == "export_unfinished" ? "1" : ""));
    if (!error.empty())
      BOOST_TEST(answer.body.find(error) != std::string::npos);
    return std::to_string(answer.status) + ' ' + code_of(answer);
  };
  for (const auto state : {job_state::available, job_state::running, job_state::retryable})
    BOOST_TEST(code(state) == "409 export_unfinished");
  BOOST_TEST(code(job_state::discarded, "the file is too long") == "409 export_failed");
  BOOST_TEST(code(job_state::cancelled) == "409 export_failed");
  BOOST_TEST(code(job_state::completed) == "410 export_gone");
  BOOST_TEST(files.reads() == 0U);
}

BOOST_AUTO_TEST_CASE(one_that_has_ended_is_deleted_and_another_is_cancelled) {
  files.put({17}, finished_export(text));
  auto runs = finished_export("");
  runs.told.file.reset();
  runs.told.state = job_state::running;
  files.put({18}, runs);
  BOOST_TEST(client.ask(del("/api/v1/exports/17")).status == 204);
  BOOST_TEST(client.ask(del("/api/v1/exports/18")).status == 204);
  BOOST_TEST(client.ask(del("/api/v1/exports/19")).status == 404);
  const auto asked = server.engine->asked();
  BOOST_REQUIRE(asked.size() == 2U);
  BOOST_TEST(std::get<delete_job>(asked[0]).id.value == 17);
  BOOST_TEST(std::get<delete_job>(asked[0]).by.who == "anyone");
  BOOST_TEST(std::get<cancel_job>(asked[1]).id.value == 18);
}

BOOST_AUTO_TEST_CASE(whose_token_is_for_some_queues_has_the_exports_of_their_jobs) {
  running_server guarded{{}, nullptr, true, &files};
  guarded.engine->on_ask([](const api_request& asked, const canned_engine::reply_function& reply) {
    if (std::holds_alternative<find_token>(asked))
      return reply(found_token{1, "ada", role::operator_, {"mail"}, token_standing::live, {}});
    reply(canned_engine::usual(asked));
  });
  files.put({17}, finished_export(text));
  files.put({18}, finished_export(text, "other"));
  auto of_all = finished_export(text);
  of_all.told.order.what.filter.queue.reset();
  files.put({19}, of_all);
  const auto token = "Authorization: Bearer " + bearer_token::make().secret() + "\r\n";
  const auto status = [&](const std::string& request) {
    return raw_client{guarded.port()}.ask(request).status;
  };
  const auto start = [&](const std::string& body) {
    return status(post("/api/v1/exports", body, token));
  };
  const auto remove = [&](const std::string& id) {
    return status("DELETE /api/v1/exports/" + id + " HTTP/1.1\r\n" + host + token + "\r\n");
  };
  for (const std::string id : {"17", "18", "19"}) {
    const int wanted = id == "17" ? 200 : 403;
    BOOST_TEST(status(get("/api/v1/exports/" + id, token)) == wanted, id);
    BOOST_TEST(status(get("/api/v1/exports/" + id + "/file", token)) == wanted, id);
    BOOST_TEST(remove(id) == (wanted == 200 ? 204 : 403), id);
  }
  BOOST_TEST(files.reads() == 1U);
  BOOST_TEST(start(R"({"format":"csv"})") == 403);
  BOOST_TEST(start(R"({"format":"csv","queue":"other"})") == 403);
  BOOST_TEST(files.started().empty());
  BOOST_TEST(start(R"({"format":"csv","queue":"mail"})") == 202);
}

BOOST_AUTO_TEST_SUITE_END()
