// The exporter against a collector that answers as each case says: nothing is lost that it has room
// for, nothing is sent twice at once, and the end comes in time.
#include "launcher/span_exporter.hpp"
#include "tests/support/await.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

using namespace troupe;
using namespace std::chrono_literals;
using tests::await_until;
using tests::event_counter;

namespace {

/// Answers one request for each connection, with the texts in turn; the last one again and again.
/// An empty text is no answer: it keeps the connection until it ends itself.
class collector {
public:
  explicit collector(std::vector<std::string> answers) : answers_(std::move(answers)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, any, length) != 0 || ::listen(listener_, 16) != 0
        || ::getsockname(listener_, any, &length) != 0)
      throw std::runtime_error("cannot listen on loopback");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~collector() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (const int fd : mute_)
      ::close(fd);
  }
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(guard_);
    return requests_;
  }
  event_counter arrived;

private:
  void serve() {
    for (std::size_t n = 0;; ++n) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0)
        return;
      auto request = read_request(fd);
      {
        const std::lock_guard lock(guard_);
        requests_.push_back(std::move(request));
      }
      const auto& answer = answers_.at(std::min(n, answers_.size() - 1));
      if (answer.empty()) {
        mute_.push_back(fd);
      } else {
        static_cast<void>(::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL));
        ::close(fd);
      }
      arrived.add();
    }
  }
  static std::string read_request(int fd) {
    std::string text;
    std::array<char, 65536> part{};
    for (;;) {
      const auto head = text.find("\r\n\r\n");
      if (const auto at = text.find("Content-Length: ");
          head != std::string::npos && text.size() >= head + 4 + std::stoul(text.substr(at + 16)))
        return text;
      const auto got = ::recv(fd, part.data(), part.size(), 0);
      if (got <= 0)
        return text;
      text.append(part.data(), static_cast<std::size_t>(got));
    }
  }

  std::vector<std::string> answers_;
  int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t port_ = 0;
  std::vector<int> mute_;
  mutable std::mutex guard_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

/// Nobody listens there, and as long as it lives nobody else can.
class deaf_port {
public:
  deaf_port() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (taken_ < 0 || ::bind(taken_, any, length) != 0 || ::getsockname(taken_, any, &length) != 0)
      throw std::runtime_error("no port on loopback");
    port_ = ntohs(address.sin_port);
  }
  ~deaf_port() { ::close(taken_); }
  deaf_port(const deaf_port&) = delete;
  deaf_port& operator=(const deaf_port&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

private:
  int taken_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::uint16_t port_ = 0;
};

std::string answer(const std::string& status, const std::string& body = "{}",
                   const std::string& more = "") {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + more
         + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::vector<span> some(std::size_t count, int from = 0) {
  std::vector<span> out(count);
  for (auto& one : out) {
    one.self = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1};
    one.name = "span " + std::to_string(from++);
  }
  return out;
}

std::vector<std::string> names_in(const std::vector<std::string>& requests) {
  std::vector<std::string> out;
  for (const auto& request : requests) {
    const auto read = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
    for (const auto& one : read["resourceSpans"][0]["scopeSpans"][0]["spans"])
      out.push_back(one["name"]);
  }
  return out;
}

span_exporter_options quick(const std::string& url) {
  span_exporter_options out;
  out.endpoint = url;
  out.resource = {"shop", "node-1", "0.1.0"};
  out.linger = 1ms;
  out.first_pause = 1ms;
  out.longest_pause = 5ms;
  return out;
}

} // namespace

BOOST_AUTO_TEST_CASE(spans_are_posted_in_their_order_with_the_headers_given) {
  collector there({answer("200 OK")});
  engine_counters counters;
  auto options = quick(there.url());
  options.headers = {{"Authorization", "Bearer abc"}};
  options.max_batch = 2;
  span_exporter exporter(options, counters);
  exporter.add(some(5));
  exporter.stop(tests::patience);
  BOOST_TEST(counters.spans_exported == 5);
  const auto requests = there.requests();
  const std::vector<std::string> wanted{"span 0", "span 1", "span 2", "span 3", "span 4"};
  BOOST_TEST(names_in(requests) == wanted, boost::test_tools::per_element());
  BOOST_REQUIRE(requests.size() == 3);
  BOOST_TEST(requests[0].starts_with("POST /v1/traces HTTP/1.1\r\n"));
  BOOST_TEST((requests[0].find("\r\nAuthorization: Bearer abc\r\n") != std::string::npos));
  BOOST_TEST((requests[0].find("\r\nContent-Type: application/json\r\n") != std::string::npos));
  BOOST_TEST((requests[0].find("Expect") == std::string::npos));
}

BOOST_AUTO_TEST_CASE(what_is_full_drops_the_newest_and_counts_them) {
  for (const std::size_t count : {2047, 2048, 2049}) {
    collector mute({""});
    engine_counters counters;
    span_exporter exporter(quick(mute.url()), counters);
    exporter.add(some(1));
    BOOST_REQUIRE(mute.arrived.await(1)); // it is on its way and still counts
    exporter.add(some(count - 1, 1));
    BOOST_TEST(counters.spans_dropped_full == (count > 2048 ? count - 2048 : 0));
    exporter.stop(0ms);
    BOOST_TEST(counters.spans_dropped_stopping == std::min<std::size_t>(count, 2048));
    BOOST_TEST(counters.spans_exported == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_collector_that_fails_for_a_while_gets_the_same_spans_again) {
  collector there({answer("503 Away", "{}", "Retry-After: 0\r\n"), answer("429 Slow"),
                   answer("502 Bad"), answer("504 Late"), answer("200 OK")});
  engine_counters counters;
  span_exporter exporter(quick(there.url()), counters);
  exporter.add(some(1));
  BOOST_REQUIRE(await_until([&] { return counters.spans_exported == 1; }));
  BOOST_TEST(counters.span_export_errors == 4);
  const std::vector<std::string> wanted(5, "span 0");
  BOOST_TEST(names_in(there.requests()) == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_pause_that_the_collector_asks_for_is_kept) {
  collector there({answer("503 Away", "{}", "Retry-After: 60\r\n"), answer("200 OK")});
  engine_counters counters;
  span_exporter exporter(quick(there.url()), counters);
  exporter.add(some(1));
  BOOST_REQUIRE(await_until([&] { return counters.span_export_errors == 1; }));
  // Without the pause it comes within 5 ms.
  BOOST_TEST(!there.arrived.await(2, 50ms));
  exporter.stop(tests::patience); // the last try does not wait for it
  BOOST_TEST(counters.spans_exported == 1);
}

BOOST_AUTO_TEST_CASE(what_a_collector_refuses_is_not_sent_again) {
  collector there(
      {answer("400 Bad"), answer("200 OK", R"({"partialSuccess":{"rejectedSpans":"1"}})")});
  engine_counters counters;
  span_exporter exporter(quick(there.url()), counters);
  exporter.add(some(2));
  BOOST_REQUIRE(await_until([&] { return counters.spans_dropped_rejected == 2; }));
  exporter.add(some(3, 2));
  exporter.stop(tests::patience);
  BOOST_TEST(counters.spans_dropped_rejected == 3);
  BOOST_TEST(counters.spans_exported == 2);
  BOOST_TEST(counters.span_export_errors == 1);
  BOOST_TEST(there.requests().size() == 2);
}

BOOST_AUTO_TEST_CASE(the_end_waits_for_a_mute_collector_no_longer_than_it_may) {
  collector mute({""});
  engine_counters counters;
  auto options = quick(mute.url());
  options.request_time = 2 * tests::patience;
  span_exporter exporter(options, counters);
  exporter.add(some(1));
  BOOST_REQUIRE(mute.arrived.await(1));
  const auto begun = std::chrono::steady_clock::now();
  exporter.stop(10ms);
  BOOST_TEST((std::chrono::steady_clock::now() - begun < tests::patience));
  exporter.add(some(2));
  BOOST_TEST(counters.spans_dropped_stopping == 3);
}

BOOST_AUTO_TEST_CASE(a_collector_that_is_away_is_tried_once_more_at_the_end) {
  const deaf_port nowhere;
  engine_counters counters;
  span_exporter exporter(quick(nowhere.url()), counters);
  exporter.add(some(7));
  BOOST_REQUIRE(await_until([&] { return counters.span_export_errors >= 3; }));
  exporter.stop(tests::patience);
  BOOST_TEST(counters.spans_dropped_stopping == 7);
  BOOST_TEST(counters.spans_exported == 0);
}
