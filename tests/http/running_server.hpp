// A server on a loop of its own with a canned engine behind it, and the requests tests send.
#pragma once

#include "http/server.hpp"
#include "http/tls_context.hpp"
#include "tests/http/canned_engine.hpp"
#include "tests/http/raw_client.hpp"

#include <boost/asio/executor_work_guard.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::tests {

using namespace std::chrono_literals;

/// Runs a loop on a thread of its own, and a server on it.
class running_server {
public:
  explicit running_server(const http::server_limits& limits = {}, export_port* exports = nullptr,
                          bool require_tokens = false, stored_export_port* stored = nullptr)
      : running_server(exports, usual(limits), require_tokens, stored) {}
  explicit running_server(stored_export_port* stored)
      : running_server({}, nullptr, false, stored) {}
  explicit running_server(span_sink& spans)
      : running_server(nullptr, usual(), false, nullptr, &spans) {}
  running_server(export_port* exports, http::server_options options, bool require_tokens = false,
                 stored_export_port* stored = nullptr, span_sink* spans = nullptr) {
    http::services context;
    context.ask = engine;
    context.exports = exports;
    context.stored_exports = stored;
    context.spans = spans;
    context.health = &health;
    context.counters = &counters;
    context.require_tokens = require_tokens;
    context.kinds = {"echo"};
    context.node = "test";
    context.version = "0";
    context.draining = [this] { return draining.load(); };
    server_.emplace(loop_, std::move(options), std::move(context));
    server_->start();
    thread_ = std::thread{[this] { loop_.run(); }};
  }
  ~running_server() {
    stop(0ms);
    guard_.reset();
    thread_.join();
  }
  running_server(const running_server&) = delete;
  running_server& operator=(const running_server&) = delete;

  /// A free port; TLS when this run of the suite is about it.
  static http::server_options usual(const http::server_limits& limits = {}) {
    http::server_options out;
    out.port = 0;
    out.limits = limits;
    if (over_tls())
      out.tls = std::make_shared<http::tls_context>(http::tls_files{
          tests_certificates().file("server.crt"), tests_certificates().file("server.key")});
    return out;
  }

  std::uint16_t port() const { return server_->port(); }
  /// Begins to stop; the future is ready when the last connection is gone.
  std::future<void> begin_stop(std::chrono::milliseconds grace) {
    auto done = std::make_shared<std::promise<void>>();
    auto out = done->get_future();
    stopped_ = true;
    server_->stop(grace, [done] { done->set_value(); });
    return out;
  }
  void stop(std::chrono::milliseconds grace) {
    if (!stopped_)
      begin_stop(grace).wait();
  }
  http::server& front() { return *server_; }
  bool await_connections(std::uint64_t count) {
    return await_until([&] { return counters.http_connections == count; });
  }

  std::shared_ptr<canned_engine> engine = std::make_shared<canned_engine>();
  health_board health;
  engine_counters counters;
  std::atomic<bool> draining{false};

private:
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{
      loop_.get_executor()};
  std::optional<http::server> server_;
  std::thread thread_;
  bool stopped_ = false;
};

inline const std::string host = "Host: localhost\r\n";
inline const std::string json_type = "Content-Type: application/json\r\n";

inline std::string get(const std::string& target, const std::string& fields = {}) {
  return "GET " + target + " HTTP/1.1\r\n" + host + fields + "\r\n";
}

inline std::string post(const std::string& target, const std::string& body,
                        const std::string& fields = {}) {
  return "POST " + target + " HTTP/1.1\r\n" + host + json_type + fields
         + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline const std::string create = post("/api/v1/jobs", R"({"kind":"echo"})");
inline const std::string create_chunked =
    "POST /api/v1/jobs HTTP/1.1\r\n" + host + json_type + "Transfer-Encoding: chunked\r\n\r\n";

/// Answers nothing until released; tells when it was asked.
struct slow_engine {
  explicit slow_engine(canned_engine& engine) {
    engine.on_ask([this](const api_request& request, canned_engine::reply_function reply) {
      const std::lock_guard lock{guard};
      waiting.emplace_back(request, std::move(reply));
      asked.add();
    });
  }
  /// From the calling thread, which is not the loop's.
  void release() {
    std::vector<std::pair<api_request, canned_engine::reply_function>> all;
    {
      const std::lock_guard lock{guard};
      all.swap(waiting);
    }
    for (auto& [request, reply] : all)
      reply(canned_engine::usual(request));
  }
  void drop() {
    const std::lock_guard lock{guard};
    waiting.clear();
  }

  std::mutex guard;
  std::vector<std::pair<api_request, canned_engine::reply_function>> waiting;
  event_counter asked;
};

} // namespace troupe::tests
