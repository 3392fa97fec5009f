// The bytes of one connection below its peer: as they are, or by TLS. Nothing blocks. Whoever asks
// for something keeps this alive until the answer has come. Loop thread only.
#pragma once

#include "http/net.hpp"
#include "http/tls_session.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace troupe::http {

class transport {
public:
  using receiver = std::function<void(const error_code&, std::size_t)>;
  enum class sight : std::uint8_t { nothing, bytes, end };

  /// `tls`: null for plain bytes.
  transport(stream_socket socket, const std::shared_ptr<ssl_ctx_st>& tls);

  /// Readies the socket. Whose it is: an IP address, or the user at the other end of a Unix socket.
  /// Nothing: the client has gone already.
  std::optional<std::string> open();

  /// By TLS the handshake is part of the first.
  template<class Receiver>
  void async_read_some(std::span<char> into, Receiver then) {
    if (tls_)
      read_tls(into, std::move(then));
    else
      async_read_raw(into, std::move(then));
  }
  /// What is on the wire, to be thrown away.
  template<class Receiver>
  void async_read_raw(std::span<char> into, Receiver then) {
    socket_.async_read_some(net::buffer(into.data(), into.size()), std::move(then));
  }

  /// `ec` is would_block when the socket has no room: wait, then come again with the same bytes.
  std::size_t write_some(std::string_view first, std::string_view second, error_code& ec) {
    if (tls_)
      return write_tls(first, second, ec);
    const std::array<net::const_buffer, 2> parts = {net::buffer(first), net::buffer(second)};
    return socket_.write_some(parts, ec);
  }
  template<class Receiver>
  void async_wait_writable(Receiver then) {
    socket_.async_wait(write_wants_read_ ? stream_socket::wait_read : stream_socket::wait_write,
                       std::move(then));
  }

  /// Until something has come, or the end has; peek() says which.
  template<class Receiver>
  void async_wait_readable(Receiver then) {
    socket_.async_wait(stream_socket::wait_read, std::move(then));
  }
  sight peek();

  /// A client spoke plain HTTP to us, who wanted TLS: what is written from now on is plain.
  bool turned_plain() const { return turned_plain_; }
  /// Of the URLs that lead here.
  std::string scheme() const { return tls_ && !turned_plain_ ? "https" : "http"; }
  /// Nothing more comes from us.
  void end_sending(error_code& ec);
  /// `whole`: by TLS it says so. Otherwise the client learns that something is missing.
  void close(bool whole);
  /// A close is told by a reset.
  void reset_on_close();

private:
  void read_tls(std::span<char> into, receiver then);
  tls_session::progress greet();
  std::size_t write_tls(std::string_view first, std::string_view second, error_code& ec);
  std::string user_of_peer();

  stream_socket socket_;
  std::unique_ptr<tls_session> tls_;
  bool greeted_ = false; ///< the first byte was one of TLS
  bool turned_plain_ = false;
  bool write_wants_read_ = false;
};

} // namespace troupe::http
