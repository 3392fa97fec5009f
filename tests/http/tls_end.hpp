// The client's end of a TLS connection over a socket that blocks, with a deadline for what comes.
// It trusts the tests' authority only. Between it and the socket are buffers in memory, so that a
// test may send what TLS made of its bytes as it likes.
#pragma once

#include "tests/support/await.hpp"
#include "tests/support/certificates.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>

namespace troupe::tests {

/// Of this process: an authority, and a server's pair `server` that it signed.
inline const certificates& tests_certificates() {
  struct issued : certificates {
    issued() { issue("server", "localhost", "ca", 30); }
  };
  static const issued made;
  return made;
}

struct tls_wishes {
  int lowest = TLS1_2_VERSION;
  int highest = TLS1_3_VERSION;
  std::string protocols = "\x08http/1.1"; ///< for ALPN, each behind its length; empty: none
  bool drip = false;                      ///< byte by byte
  std::shared_ptr<SSL_SESSION> session{}; ///< to go on with
};

class tls_end {
public:
  explicit tls_end(int socket, const tls_wishes& wishes = {})
      : socket_(socket), drip_(wishes.drip),
        context_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free) {
    auto* ctx = context_.get();
    SSL_CTX_set_min_proto_version(ctx, wishes.lowest);
    SSL_CTX_set_max_proto_version(ctx, wishes.highest);
    if (wishes.lowest < TLS1_2_VERSION)
      SSL_CTX_set_cipher_list(ctx, "ALL@SECLEVEL=0");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (SSL_CTX_load_verify_file(ctx, tests_certificates().file("ca.crt").c_str()) != 1)
      throw std::runtime_error("there is no authority");
    ssl_ = SSL_new(ctx);
    if (!wishes.protocols.empty())
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wishes.protocols.data()),
                          static_cast<unsigned>(wishes.protocols.size()));
    SSL_set1_host(ssl_, "localhost");
    if (wishes.session)
      SSL_set_session(ssl_, wishes.session.get());
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl_), -1);
    SSL_set_connect_state(ssl_);
  }
  tls_end(const tls_end&) = delete;
  tls_end& operator=(const tls_end&) = delete;
  ~tls_end() { SSL_free(ssl_); }

  bool send(std::string_view bytes) {
    return carry([&] { return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())); }) > 0;
  }
  /// 0: the server has said that it ends; below: it ended otherwise, or nothing came in time.
  long receive(char* into, std::size_t size) {
    return carry([&] { return SSL_read(ssl_, into, static_cast<int>(size)); });
  }
  /// Bytes, or the end, within this time. What only TLS has to say does not count.
  bool readable(std::chrono::milliseconds limit) {
    char byte = 0;
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
      const auto got = SSL_peek(ssl_, &byte, 1);
      if (got > 0 || SSL_get_error(ssl_, got) != SSL_ERROR_WANT_READ || !flush())
        return true;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      if (left.count() < 0 || !await_bytes(left))
        return false;
      if (!fill())
        return true;
    }
  }
  bool shake_hands() {
    return carry([&] { return SSL_do_handshake(ssl_); }) > 0;
  }
  void end_sending() {
    if (SSL_is_init_finished(ssl_) != 0)
      SSL_shutdown(ssl_);
    flush();
  }
  /// What the handshake begins with.
  std::string first_flight() {
    SSL_do_handshake(ssl_);
    std::string out(64 * 1024, '\0');
    out.resize(static_cast<std::size_t>(
        BIO_read(SSL_get_wbio(ssl_), out.data(), static_cast<int>(out.size()))));
    return out;
  }

  std::string protocol() const { return SSL_get_version(ssl_); }
  std::string cipher() const { return SSL_get_cipher_name(ssl_); }
  std::string spoken() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  std::shared_ptr<SSL_SESSION> session() const {
    return {SSL_get1_session(ssl_), &SSL_SESSION_free};
  }
  /// Tells one certificate from another.
  std::string serial() const {
    const std::unique_ptr<X509, decltype(&X509_free)> shown{SSL_get1_peer_certificate(ssl_),
                                                            &X509_free};
    const auto* number = X509_get0_serialNumber(shown.get());
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(number)),
            static_cast<std::size_t>(ASN1_STRING_length(number))};
  }

private:
  /// What `act` gives when it no longer waits for bytes.
  template<class Act>
  long carry(Act act) {
    for (;;) {
      ERR_clear_error();
      const long got = act();
      const int error = SSL_get_error(ssl_, static_cast<int>(got));
      if (!flush() && got <= 0)
        return -1;
      if (got > 0)
        return got;
      if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
      if (error != SSL_ERROR_WANT_READ || !await_bytes(patience) || !fill())
        return -1;
    }
  }
  bool await_bytes(std::chrono::milliseconds limit) const {
    pollfd wait{socket_, POLLIN, 0};
    return poll(&wait, 1, static_cast<int>(limit.count())) > 0;
  }
  bool fill() {
    char bytes[16 * 1024];
    const auto got = recv(socket_, bytes, sizeof bytes, 0);
    return got > 0
           && BIO_write(SSL_get_rbio(ssl_), bytes, static_cast<int>(got)) == static_cast<int>(got);
  }
  bool flush() {
    char bytes[16 * 1024];
    for (;;) {
      const auto size = BIO_read(SSL_get_wbio(ssl_), bytes, sizeof bytes);
      if (size <= 0)
        return true;
      for (int at = 0; at < size;) {
        const auto sent = ::send(socket_, bytes + at,
                                 drip_ ? 1 : static_cast<std::size_t>(size - at), MSG_NOSIGNAL);
        if (sent <= 0)
          return false;
        at += static_cast<int>(sent);
      }
    }
  }

  int socket_;
  bool drip_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  SSL* ssl_ = nullptr;
};

} // namespace troupe::tests
