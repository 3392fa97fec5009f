// The HTTP server of one node, on a loop that somebody else runs. Start here to read this room:
// server > door > listener > peer (transport: TLS or plain) > reader (framing) > router >
// job_routes, system_routes > requester.
#pragma once

#include "http/door.hpp"
#include "http/limits.hpp"
#include "http/routes.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace troupe::http {

class tls_context;

struct server_options {
  std::string address = "127.0.0.1"; ///< an IP address, or localhost; empty: no TCP
  std::uint16_t port = 8080;         ///< 0: any free one
  std::shared_ptr<tls_context> tls;  ///< what `address` speaks; null: plain HTTP
  std::string socket_path;           ///< of a Unix socket besides; empty: none
  std::uint32_t socket_mode = 0600;  ///< of its file: who may use it
  /// Further names a request's Host may have. On loopback they add to localhost and its addresses;
  /// elsewhere an empty set means any name.
  std::set<std::string> allowed_hosts;
  server_limits limits;
};

/// Every member may be called from any thread. The loop must outlive the server and every question
/// the server has asked; one thread runs it.
class server {
public:
  server(boost::asio::io_context& loop, server_options options, services context);
  /// Closes what is still open. The loop must not be running in another thread any more, or stop()
  /// must have been done.
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Binds and begins to accept. Throws std::runtime_error with a sentence for the operator when
  /// an address is taken or no address.
  void start();
  /// The same with what open_doors() gave for these options, maybe long ago.
  void start(doors at);
  /// The port in use, after start(); 0 without TCP.
  std::uint16_t port() const;
  /// No new connections or requests: idle connections close now, busy ones after their answer, all
  /// after `grace`. `done` comes on the loop's thread, once.
  void stop(std::chrono::milliseconds grace, std::function<void()> done);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace troupe::http
