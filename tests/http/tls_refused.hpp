// A server whose pair our own server would not begin with: it shakes hands and serves nothing.
#pragma once

#include "tests/http/tls_end.hpp"

#include <arpa/inet.h>
#include <cstdint>
#include <netinet/in.h>
#include <thread>
#include <unistd.h>

namespace troupe::tests {

class tls_refused {
public:
  explicit tls_refused(const std::string& pair)
      : context_(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free),
        listening_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto certificate = tests_certificates().file(pair + ".crt");
    const auto key = tests_certificates().file(pair + ".key");
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (SSL_CTX_use_certificate_file(context_.get(), certificate.c_str(), SSL_FILETYPE_PEM) != 1
        || SSL_CTX_use_PrivateKey_file(context_.get(), key.c_str(), SSL_FILETYPE_PEM) != 1
        || bind(listening_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0
        || listen(listening_, 8) != 0
        || getsockname(listening_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
      throw std::runtime_error("no server with " + pair);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread{[this] { serve(); }};
  }
  ~tls_refused() {
    shutdown(listening_, SHUT_RDWR);
    thread_.join();
    close(listening_);
  }
  tls_refused(const tls_refused&) = delete;
  tls_refused& operator=(const tls_refused&) = delete;

  std::uint16_t port() const { return port_; }

private:
  void serve() {
    for (int fd = 0; (fd = accept(listening_, nullptr, nullptr)) >= 0;) {
      auto* ssl = SSL_new(context_.get());
      SSL_set_fd(ssl, fd);
      SSL_accept(ssl);
      SSL_free(ssl);
      close(fd);
    }
  }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  int listening_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

} // namespace troupe::tests
