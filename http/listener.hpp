// Binds one address and accepts connections while the hub has room; at a limit it stops asking the
// kernel, whose backlog holds what comes. Loop thread only, but for the two open().
#pragma once

#include "http/admission.hpp"
#include "http/hub.hpp"
#include "http/socket_file.hpp"
#include "http/tls_context.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe::http {

class listener : public std::enable_shared_from_this<listener> {
public:
  /// `tls`: null for plain HTTP.
  listener(net::io_context& loop, std::shared_ptr<hub> owner, admission_rules rules,
           std::shared_ptr<tls_context> tls = nullptr);

  /// Binds and listens; throws std::runtime_error with a sentence for the operator.
  void open(const std::string& address, std::uint16_t port);
  /// The same on a Unix socket whose file has this mode.
  void open(const std::string& path, mode_t mode);
  std::uint16_t port() const { return port_; }
  void accept();
  void close();

private:
  void on_accept(const error_code& ec, stream_socket socket);
  void serve(stream_socket socket);

  std::shared_ptr<hub> hub_;
  std::shared_ptr<const admission_rules> rules_;
  std::shared_ptr<tls_context> tls_;
  std::optional<socket_file> file_;
  stream_acceptor acceptor_;
  std::optional<stream_socket> early_; ///< came when another listener had taken the last room
  loop_timer pause_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
};

} // namespace troupe::http
