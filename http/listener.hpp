// Binds one address and accepts connections while the hub has room; at a limit it stops asking the
// kernel, whose backlog holds what comes. Loop thread only, but for open().
#pragma once

#include "http/hub.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace troupe::http {

class listener : public std::enable_shared_from_this<listener> {
public:
  listener(net::io_context& loop, std::shared_ptr<hub> owner);

  /// Binds and listens; throws std::runtime_error with a sentence for the operator.
  void open(const std::string& address, std::uint16_t port);
  std::uint16_t port() const { return port_; }
  void accept();
  void close();

private:
  void on_accept(const error_code& ec, tcp_socket socket);

  std::shared_ptr<hub> hub_;
  tcp_acceptor acceptor_;
  loop_timer pause_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
};

} // namespace troupe::http
