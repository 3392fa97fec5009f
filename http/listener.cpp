// See listener.hpp.
#include "http/listener.hpp"

#include "http/peer.hpp"

#include <chrono>
#include <netinet/in.h>
#include <sys/socket.h>
#include <utility>

namespace troupe::http {

namespace {

/// After a failed accept (no descriptors left, most likely): retrying at once would spin.
constexpr std::chrono::milliseconds accept_pause{100};

} // namespace

listener::listener(net::io_context& loop, std::shared_ptr<hub> owner, admission_rules rules,
                   door at, std::shared_ptr<tls_context> tls)
    : hub_(std::move(owner)), rules_(std::make_shared<const admission_rules>(std::move(rules))),
      tls_(std::move(tls)), file_(at.release_file()), acceptor_(loop.get_executor()),
      pause_(loop.get_executor()), port_(at.port()) {
  acceptor_.assign({at.family(), at.family() == AF_UNIX ? 0 : IPPROTO_TCP}, at.release());
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
