// A loopback port that takes connections (the kernel does) and says only what a test makes it say.
#pragma once

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe::tests {

class mute_server {
public:
  mute_server() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    BOOST_REQUIRE(::bind(fd_, generic, size) == 0);
    BOOST_REQUIRE(::listen(fd_, 8) == 0);
    BOOST_REQUIRE(::getsockname(fd_, generic, &size) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  mute_server(const mute_server&) = delete;
  mute_server& operator=(const mute_server&) = delete;
  ~mute_server() {
    ::close(peer_);
    ::close(fd_);
  }
  const std::string& port() const { return port_; }
  /// Waits for a client and its first words, and answers with these bytes.
  void answer(const std::string& bytes) {
    peer_ = ::accept(fd_, nullptr, nullptr);
    char buffer[1024];
    BOOST_REQUIRE(::recv(peer_, buffer, sizeof buffer, 0) > 0);
    BOOST_REQUIRE(::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL)
                  == static_cast<ssize_t>(bytes.size()));
  }

private:
  int fd_;
  int peer_ = -1;
  std::string port_;
};

} // namespace troupe::tests
