// See listener.hpp.
#include "http/listener.hpp"

#include "http/peer.hpp"

#include <boost/asio/local/stream_protocol.hpp>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <sys/stat.h>
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

listener::listener(net::io_context& loop, std::shared_ptr<hub> owner, admission_rules rules,
                   std::shared_ptr<tls_context> tls)
    : hub_(std::move(owner)), rules_(std::make_shared<const admission_rules>(std::move(rules))),
      tls_(std::move(tls)), acceptor_(loop.get_executor()), pause_(loop.get_executor()) {}

void listener::open(const std::string& address, std::uint16_t port) {
  error_code ec;
  const auto ip = net::ip::make_address(address == "localhost" ? "127.0.0.1" : address, ec);
  if (ec)
    throw std::runtime_error("cannot listen on " + address
                             + ": give an IP address, such as 127.0.0.1 or ::1");
  const tcp::endpoint where{ip, port};
  acceptor_.open(where.protocol(), ec);
  if (!ec)
    acceptor_.set_option(stream_acceptor::reuse_address{true}, ec);
  if (!ec)
    acceptor_.bind(where, ec);
  if (!ec)
    acceptor_.listen(hub_->limits().backlog, ec);
  if (ec)
    cannot_listen(address, port, ec);
  tcp::endpoint bound;
  const auto found = acceptor_.local_endpoint();
  bound.resize(found.size());
  std::memcpy(bound.data(), found.data(), found.size());
  port_ = bound.port();
}

void listener::open(const std::string& path, mode_t mode) {
  file_.emplace(path);
  error_code ec;
  const net::local::stream_protocol::endpoint where{path};
  acceptor_.open(where.protocol(), ec);
  // The file is made with no more than these rights; the process's umask may take some of them.
  if (!ec && ::fchmod(acceptor_.native_handle(), mode) != 0)
    ec = {errno, boost::system::system_category()};
  if (!ec)
    acceptor_.bind(where, ec);
  if (!ec) {
    file_->bound(mode);
    acceptor_.listen(hub_->limits().backlog, ec);
  }
  if (ec)
    throw std::runtime_error("cannot listen on unix:" + path + ": " + ec.message());
}

void listener::accept() {
  if (accepting_ || !acceptor_.is_open() || !hub_->has_room())
    return;
  if (early_)
    serve(*std::exchange(early_, std::nullopt));
  if (!hub_->has_room())
    return;
  accepting_ = true;
  acceptor_.async_accept([self = shared_from_this()](const error_code& ec, stream_socket socket) {
    self->accepting_ = false;
    self->on_accept(ec, std::move(socket));
  });
}

void listener::on_accept(const error_code& ec, stream_socket socket) {
  if (!acceptor_.is_open())
    return;
  if (!ec) {
    if (hub_->has_room())
      serve(std::move(socket));
    else
      early_.emplace(std::move(socket));
    return accept();
  }
  pause_.expires_after(accept_pause);
  pause_.async_wait([weak = weak_from_this()](const error_code& cancelled) {
    const auto self = weak.lock();
    if (self && !cancelled)
      self->accept();
  });
}

void listener::serve(stream_socket socket) {
  transport bytes{std::move(socket), tls_ ? tls_->current() : nullptr};
  std::make_shared<peer>(hub_, std::move(bytes), rules_)->start();
}

void listener::close() {
  error_code ignored;
  early_.reset();
  file_.reset(); // while the socket still holds the file's inode, so that it is no other's
  acceptor_.close(ignored);
  pause_.cancel();
}

} // namespace troupe::http
