#include "http/transport.hpp"

#include "messages/log.hpp"

#include <boost/asio/post.hpp>

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

namespace troupe::http {

namespace {

/// The first byte of every TLS connection: a handshake record.
constexpr char handshake_record = 0x16;

} // namespace

transport::transport(stream_socket socket, const std::shared_ptr<ssl_ctx_st>& tls)
    : socket_(std::move(socket)) {
  if (tls)
    tls_ = std::make_unique<tls_session>(tls, socket_.native_handle());
}

std::optional<std::string> transport::open() {
  error_code ec;
  const auto remote = socket_.remote_endpoint(ec);
  if (ec)
    return std::nullopt;
  socket_.non_blocking(true, ec);
  if (ec)
    return std::nullopt;
  const int family = remote.protocol().family();
  if (family == AF_UNIX)
    return user_of_peer();
  socket_.set_option(tcp::no_delay{true}, ec);
  tcp::endpoint where;
  where.resize(remote.size());
  std::memcpy(where.data(), remote.data(), remote.size());
  return ec ? std::nullopt : std::optional{where.address().to_string()};
}

std::string transport::user_of_peer() {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
    return "unix";
  return "unix:uid=" + std::to_string(who.uid);
}

/// Looks at the first byte without taking it. Until it is there the session must not read: it would
/// take it, and the next look would see another one.
tls_session::progress transport::greet() {
  char first = 0;
  const auto got = ::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return tls_session::progress::want_read;
  if (got <= 0)
    return tls_session::progress::end;
  greeted_ = first == handshake_record;
  // Every method of HTTP is in capitals. Who speaks neither is told nothing.
  turned_plain_ = first >= 'A' && first <= 'Z';
  return greeted_ ? tls_session::progress::done : tls_session::progress::failed;
}

void transport::read_tls(std::span<char> into, receiver then) {
  std::size_t count = 0;
  error_code ec;
  auto got = greeted_ ? tls_session::progress::done : greet();
  if (got == tls_session::progress::done)
    got = tls_->read(into, count);
  switch (got) {
  case tls_session::progress::want_read:
  case tls_session::progress::want_write: {
    const auto what = got == tls_session::progress::want_read ? stream_socket::wait_read
                                                              : stream_socket::wait_write;
    socket_.async_wait(what,
                       [this, into, then = std::move(then)](const error_code& failed) mutable {
                         if (failed)
                           then(failed, 0);
                         else
                           read_tls(into, std::move(then));
                       });
    return;
  }
  case tls_session::progress::done:
    break;
  case tls_session::progress::end:
    ec = net::error::eof;
    break;
  case tls_session::progress::failed:
    ec = net::error::connection_aborted;
    if (log::enabled(log::level::debug))
      log::debug("http", "a TLS connection failed: "
                             + (tls_->why().empty() ? "it began with no handshake" : tls_->why()));
    break;
  }
  if (turned_plain_)
    tls_.reset();
  net::post(socket_.get_executor(), [then = std::move(then), ec, count] { then(ec, count); });
}

std::size_t transport::write_tls(std::string_view first, std::string_view second, error_code& ec) {
  std::size_t count = 0;
  switch (const auto wrote = tls_->write(first, second, count)) {
  case tls_session::progress::done:
    break;
  case tls_session::progress::want_read:
  case tls_session::progress::want_write:
    write_wants_read_ = wrote == tls_session::progress::want_read;
    ec = net::error::would_block;
    break;
  case tls_session::progress::end:
  case tls_session::progress::failed:
    ec = net::error::broken_pipe;
    break;
  }
  return count;
}

transport::sight transport::peek() {
  if (tls_)
    switch (tls_->peek()) {
    case tls_session::progress::done:
      return sight::bytes;
    case tls_session::progress::want_read:
    case tls_session::progress::want_write:
      return sight::nothing;
    case tls_session::progress::end:
    case tls_session::progress::failed:
      return sight::end;
    }
  char byte = 0;
  error_code ec;
  const auto got = socket_.receive(net::buffer(&byte, 1), stream_socket::message_peek, ec);
  if (ec == net::error::would_block || ec == net::error::try_again)
    return sight::nothing;
  return ec || got == 0 ? sight::end : sight::bytes;
}

void transport::end_sending(error_code& ec) {
  if (tls_)
    tls_->end_sending();
  socket_.shutdown(stream_socket::shutdown_send, ec);
}

void transport::close(bool whole) {
  if (tls_ && whole)
    tls_->end_sending();
  error_code ignored;
  socket_.close(ignored);
}

void transport::reset_on_close() {
  error_code ignored;
  socket_.set_option(net::socket_base::linger{true, 0}, ignored);
}

} // namespace troupe::http
