// See listener.hpp.
#include "http/listener.hpp"

#include "http/peer.hpp"

#include <chrono>
#include <stdexcept>
#include <utility>

namespace troupe::http {

namespace {

/// After a failed accept (no descriptors left, most likely): retrying at once would spin.
constexpr std::chrono::milliseconds accept_pause{100};

[[noreturn]] void cannot_listen(const std::string& address, std::uint16_t port,
                                const error_code& ec) {
  std::string what = "cannot listen on " + address + ":" + std::to_string(port) + ": ";
  if (ec == net::error::address_in_use)
    what += "the address is taken, perhaps by another troupe; choose another with --listen";
  else
    what += ec.message();
  throw std::runtime_error(what);
}

} // namespace

listener::listener(net::io_context& loop, std::shared_ptr<hub> owner)
    : hub_(std::move(owner)), acceptor_(loop.get_executor()), pause_(loop.get_executor()) {}

void listener::open(const std::string& address, std::uint16_t port) {
  error_code ec;
  const auto ip = net::ip::make_address(address == "localhost" ? "127.0.0.1" : address, ec);
  if (ec)
    throw std::runtime_error("cannot listen on " + address
                             + ": give an IP address, such as 127.0.0.1 or ::1");
  const tcp::endpoint where{ip, port};
  acceptor_.open(where.protocol(), ec);
  if (!ec)
    acceptor_.set_option(tcp_acceptor::reuse_address{true}, ec);
  if (!ec)
    acceptor_.bind(where, ec);
  if (!ec)
    acceptor_.listen(hub_->limits().backlog, ec);
  if (ec)
    cannot_listen(address, port, ec);
  port_ = acceptor_.local_endpoint().port();
  hub_->on_room([weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->accept();
  });
}

void listener::accept() {
  if (accepting_ || !acceptor_.is_open() || !hub_->has_room())
    return;
  accepting_ = true;
  acceptor_.async_accept([self = shared_from_this()](const error_code& ec, tcp_socket socket) {
    self->accepting_ = false;
    self->on_accept(ec, std::move(socket));
  });
}

void listener::on_accept(const error_code& ec, tcp_socket socket) {
  if (!acceptor_.is_open())
    return;
  if (!ec) {
    std::make_shared<peer>(hub_, std::move(socket))->start();
    return accept();
  }
  pause_.expires_after(accept_pause);
  pause_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    const auto self = weak.lock();
    if (self && !cancelled)
      self->accept();
  });
}

void listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

} // namespace troupe::http
