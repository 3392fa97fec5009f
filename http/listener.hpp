// Accepts the connections of one address while the hub has room; at a limit it stops asking the
// kernel, whose backlog holds what comes. Loop thread only.
#pragma once

#include "http/admission.hpp"
#include "http/door.hpp"
#include "http/hub.hpp"
#include "http/tls_context.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe::http {

class listener : public std::enable_shared_from_this<listener> {
public:
  /// `tls`: null for plain HTTP.
  listener(net::io_context& loop, std::shared_ptr<hub> owner, admission_rules rules, door at,
           std::shared_ptr<tls_context> tls = nullptr);

  std::uint16_t port() const { return port_; }
  void accept();
  void close();

private:
  void on_accept(const error_code& ec, stream_socket socket);
  void serve(stream_socket socket);

  std::shared_ptr<hub> hub_;
  std::shared_ptr<const admission_rules> rules_;
  std::shared_ptr<tls_context> tls_;
  std::unique_ptr<socket_file> file_; ///< null: TCP
  stream_acceptor acceptor_;
  std::optional<stream_socket> early_; ///< came when another listener had taken the last room
  loop_timer pause_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
};

} // namespace troupe::http
