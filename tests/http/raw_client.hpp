// A client that sends bytes as they are and waits for bytes or for the end, with a deadline. With
// TROUPE_TEST_TLS in the environment it speaks TLS, as running_server does then: a suite written
// for plain sockets is run both ways.
#pragma once

#include "tests/http/tls_end.hpp"
#include "tests/support/await.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace troupe::tests {

struct raw_response {
  int status = 0; ///< 0: the connection ended without one
  std::string head;
  std::string body;

  std::string header(std::string_view name) const {
    const auto at = head.find("\r\n" + std::string{name} + ": ");
    if (at == std::string::npos)
      return {};
    const auto start = at + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
  }
};

/// Whether this run of the suite is about TLS.
inline bool over_tls() {
  return std::getenv("TROUPE_TEST_TLS") != nullptr;
}

class raw_client {
public:
  explicit raw_client(std::uint16_t port)
      : raw_client(port, over_tls() ? std::optional{tls_wishes{}} : std::nullopt) {}
  raw_client(std::uint16_t port, const std::optional<tls_wishes>& tls)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("cannot connect");
    if (tls)
      tls_ = std::make_unique<tls_end>(fd_, *tls);
  }
  /// Of a Unix socket.
  explicit raw_client(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("cannot connect");
  }
  ~raw_client() { close(); }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  /// False when the server has closed.
  bool send(std::string_view bytes) {
    if (tls_)
      return tls_->send(bytes);
    while (!bytes.empty()) {
      const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0)
        return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// The next response; `head_only` for answers to HEAD.
  raw_response receive(bool head_only = false) {
    raw_response out;
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!more())
        return out;
    out.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    std::from_chars(out.head.data() + 9, out.head.data() + 12, out.status);
    std::size_t length = 0;
    const auto text = head_only ? std::string{} : out.header("Content-Length");
    std::from_chars(text.data(), text.data() + text.size(), length);
    while (buffer_.size() < length && more()) {
    }
    out.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return out;
  }

  /// A body in chunks, decoded, after receive() gave its head; nothing when the connection ended
  /// before the last chunk. What had come is in `so_far`.
  std::optional<std::string> receive_chunks(std::string* so_far = nullptr) {
    std::string out;
    for (;;) {
      const auto one = receive_chunk();
      if (so_far != nullptr)
        *so_far = out;
      if (!one || one->empty())
        return one ? std::optional{std::move(out)} : std::nullopt;
      out += *one;
    }
  }
  /// One of them; the last is empty.
  std::optional<std::string> receive_chunk() {
    std::size_t line = 0;
    std::size_t size = 0;
    bool there = true;
    while (there && (line = buffer_.find("\r\n")) == std::string::npos)
      there = more();
    if (there) {
      std::from_chars(buffer_.data(), buffer_.data() + line, size, 16);
      while (there && buffer_.size() < line + 2 + size + 2)
        there = more();
    }
    if (!there)
      return std::nullopt;
    auto out = buffer_.substr(line + 2, size);
    buffer_.erase(0, line + 2 + size + 2);
    return out;
  }
  /// All that comes until the end; nothing when that is a reset.
  std::optional<std::string> receive_to_end() {
    while (more()) {
    }
    return reset_ ? std::nullopt : std::optional{std::exchange(buffer_, {})};
  }

  raw_response ask(std::string_view bytes, bool head_only = false) {
    send(bytes);
    return receive(head_only);
  }

  /// True when the server has closed and nothing was left to read.
  bool ended() {
    while (more()) {
    }
    return over_ && buffer_.empty();
  }

  /// True when something (or the end) can be read within this time.
  bool readable(std::chrono::milliseconds limit) {
    if (tls_)
      return tls_->readable(limit);
    pollfd wait{fd_, POLLIN, 0};
    return poll(&wait, 1, static_cast<int>(limit.count())) > 0;
  }
  void finish_sending() {
    if (tls_)
      tls_->end_sending();
    shutdown(fd_, SHUT_WR);
  }
  tls_end& tls() { return *tls_; }
  int socket_number() const { return fd_; }
  /// Ends the connection with a reset.
  void reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }

private:
  bool more() {
    if (tls_ && !over_) {
      char bytes[16 * 1024];
      return take(bytes, tls_->receive(bytes, sizeof bytes));
    }
    pollfd wait{fd_, POLLIN, 0};
    const auto limit = std::chrono::milliseconds{patience}.count();
    if (over_ || poll(&wait, 1, static_cast<int>(limit)) <= 0)
      return false;
    char bytes[16 * 1024];
    return take(bytes, recv(fd_, bytes, sizeof bytes, 0));
  }
  bool take(const char* bytes, long got) {
    over_ = got <= 0;
    reset_ = got < 0;
    if (!over_)
      buffer_.append(bytes, static_cast<std::size_t>(got));
    return !over_;
  }

  int fd_;
  std::unique_ptr<tls_end> tls_;
  bool over_ = false;
  bool reset_ = false;
  std::string buffer_;
};

} // namespace troupe::tests
