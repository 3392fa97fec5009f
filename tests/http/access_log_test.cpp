// One line for each request: what stands in it, and that none is left out or written twice.
#include "http/access_log.hpp"
#include "messages/log.hpp"
#include "tests/http/running_server.hpp"
#include "tests/http/scripted_exports.hpp"

#include <boost/test/unit_test.hpp>

#include <mutex>
#include <optional>
#include <string_view>

using namespace troupe;
using namespace troupe::http;
using namespace troupe::tests;

namespace {

/// Keeps what "access" says.
struct listening {
  listening() {
    log::set_level(log::level::debug);
    log::set_sink([kept = kept](log::level of, std::string_view who, std::string_view text) {
      if (who != "access" || of != log::level::debug)
        return;
      const std::lock_guard lock{kept->guard};
      kept->lines.emplace_back(text);
    });
  }
  ~listening() {
    log::set_sink({});
    log::set_level(log::level::info);
  }
  listening(const listening&) = delete;
  listening& operator=(const listening&) = delete;

  std::vector<std::string> lines() const {
    const std::lock_guard lock{kept->guard};
    return kept->lines;
  }
  /// The line after those that were there.
  std::string next() {
    const auto before = seen++;
    BOOST_TEST(await_until([&] { return lines().size() > before; }));
    const auto all = lines();
    return all.size() > before ? all[before] : "";
  }

  struct notes {
    mutable std::mutex guard;
    std::vector<std::string> lines;
  };
  std::shared_ptr<notes> kept = std::make_shared<notes>(); ///< a sink is kept for ever
  std::size_t seen = 0;
};

/// It says this, of so many bytes (none: of some), and how long it took.
bool fits(std::string_view line, std::string_view what, std::optional<std::size_t> bytes) {
  const auto skip = [&](std::string_view text) {
    const bool there = line.starts_with(text);
    line.remove_prefix(there ? text.size() : 0);
    return there;
  };
  const auto number = [&](std::string_view characters) {
    const auto found = line.substr(0, line.find_first_not_of(characters));
    line.remove_prefix(found.size());
    return found;
  };
  if (!skip(what) || !skip(", "))
    return false;
  const auto said = number("0123456789");
  return (bytes ? said == std::to_string(*bytes) : said.find_first_not_of('0') == 0)
         && skip(" bytes in ") && !number("0123456789.").empty()
         && line == " ms, request r-1 of 127.0.0.1";
}

const std::string id = "X-Request-Id: r-1\r\n";

} // namespace

BOOST_AUTO_TEST_CASE(a_line_has_what_was_asked_and_what_was_answered_but_no_query) {
  BOOST_TEST(access_line({"GET", "/api/v1/jobs?state=running&secret=1", 200, 5120,
                          std::chrono::microseconds{1250}, "5d2c-1", "127.0.0.1"})
             == "GET /api/v1/jobs 200, 5120 bytes in 1.25 ms, request 5d2c-1 of 127.0.0.1");
  BOOST_TEST(access_line({"GET", "/", 200, 1, {}, "5d2c-1", "::1", true, "00-1-2-01"})
                 .ends_with(", request 5d2c-1 of ::1, trace 00-1-2-01"));
  BOOST_TEST(access_line({{}, {}, 0, 0, {}, "5d2c-1", "::1", false})
             == "- - -, 0 bytes in 0.00 ms and cut off, request 5d2c-1 of ::1");
}

BOOST_FIXTURE_TEST_CASE(each_request_of_a_connection_has_one_line, listening) {
  running_server server;
  raw_client client{server.port()};
  const auto length = client.ask(get("/api/v1/jobs/17?fields=id", id)).body.size();
  BOOST_TEST(fits(next(), "GET /api/v1/jobs/17 200", length));
  client.ask("HEAD /api/v1/jobs/17 HTTP/1.1\r\n" + host + id + "\r\n", true);
  BOOST_TEST(fits(next(), "HEAD /api/v1/jobs/17 200", 0U));
  client.ask("DELETE /api/v1/jobs/17 HTTP/1.1\r\n" + host + id + "\r\n");
  BOOST_TEST(fits(next(), "DELETE /api/v1/jobs/17 204", 0U));
  client.ask(get("/nothing", id));
  BOOST_TEST(fits(next(), "GET /nothing 404", std::nullopt));
  raw_client wrong{server.port()};
  wrong.ask("BREW / HTTP/1.1\r\n" + host + id + "\r\n");
  BOOST_TEST(next().find(" 501, ") != std::string::npos);
  raw_client worse{server.port()};
  worse.ask("\x01\r\n\r\n");
  BOOST_TEST(next().starts_with("- - 400, "));
  BOOST_TEST(lines().size() == seen);
}

BOOST_FIXTURE_TEST_CASE(an_answer_that_nobody_took_is_said_to_be_cut_off, listening) {
  running_server server;
  slow_engine engine{*server.engine};
  raw_client client{server.port()};
  client.send(get("/api/v1/jobs/17", id));
  BOOST_TEST(engine.asked.await(1));
  server.stop(0ms);
  const auto line = next();
  BOOST_TEST(line.starts_with("GET /api/v1/jobs/17 -, 0 bytes in "), line);
  BOOST_TEST(line.ends_with(" ms and cut off, request r-1 of 127.0.0.1"), line);
  BOOST_TEST(lines().size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(of_a_stream_all_bytes_are_counted, listening) {
  scripted_exports exports;
  running_server server{{}, &exports};
  raw_client client{server.port()};
  client.send(get("/api/v1/jobs.ndjson", id));
  const auto text = exports.text(0);
  BOOST_TEST((text->give("12345\n") && text->give("6789\n") && text->end()));
  client.receive();
  BOOST_TEST(client.receive_chunks().has_value());
  BOOST_TEST(fits(next(), "GET /api/v1/jobs.ndjson 200", 11U));
}

BOOST_FIXTURE_TEST_CASE(at_the_usual_level_nothing_is_said, listening) {
  log::set_level(log::level::info);
  running_server server;
  raw_client client{server.port()};
  client.ask(get("/api/v1/jobs/17", id));
  server.stop(0ms);
  BOOST_TEST(lines().empty());
}
