#include "tests/support/chaos_proxy.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace troupe::tests {

namespace {

constexpr std::size_t piece = 64 * 1024;

bool write_all(int to, const char* bytes, std::size_t size) {
  while (size > 0) {
    const auto written = ::send(to, bytes, size, MSG_NOSIGNAL);
    if (written <= 0)
      return false;
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

int connect_to(const std::string& path) {
  const int made = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::strncpy(where.sun_path, path.c_str(), sizeof where.sun_path - 1);
  if (::connect(made, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0)
    return made;
  ::close(made);
  return -1;
}

} // namespace

chaos_proxy::chaos_proxy(std::string socket_path) : socket_path_(std::move(socket_path)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof where;
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&where), size) != 0
      || ::listen(listener_, SOMAXCONN) != 0
      || ::getsockname(listener_, reinterpret_cast<sockaddr*>(&where), &size) != 0
      || ::pipe(wake_) != 0)
    throw std::runtime_error("the proxy cannot listen");
  port_ = ntohs(where.sin_port);
  thread_ = std::thread{[this] { run(); }};
}

chaos_proxy::~chaos_proxy() {
  ending_ = true;
  wake();
  thread_.join();
  for (auto& one : links_)
    drop(one);
  ::close(listener_);
  ::close(wake_[0]);
  ::close(wake_[1]);
}

std::string chaos_proxy::url(const std::string& database) const {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

void chaos_proxy::wake() const {
  [[maybe_unused]] const auto written = ::write(wake_[1], "!", 1);
}

void chaos_proxy::swallow(bool on) {
  swallowing_ = on;
  wake();
}

void chaos_proxy::swallow_from(std::string needle) {
  const std::lock_guard lock(guard_);
  silence_ = std::move(needle);
}

void chaos_proxy::cut() {
  cutting_ = true;
  wake();
}

void chaos_proxy::lose_answer_to(std::string needle) {
  const std::lock_guard lock(guard_);
  needle_ = std::move(needle);
}

void chaos_proxy::drop(link& over) {
  // Zero linger: the peer hears a reset, as from a machine that has lost its state.
  const linger reset{1, 0};
  if (over.client >= 0) {
    ::setsockopt(over.client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    ::close(over.client);
  }
  if (over.server >= 0)
    ::close(over.server);
  over.client = over.server = -1;
}

void chaos_proxy::accept_one() {
  link made;
  made.client = ::accept(listener_, nullptr, nullptr);
  if (made.client < 0)
    return;
  made.server = links_.size() < max_links ? connect_to(socket_path_) : -1;
  if (made.server < 0)
    return drop(made);
  made.silent = swallowing_;
  links_.push_back(made);
}

bool chaos_proxy::relay(link& over, bool from_client) {
  std::array<char, piece> bytes;
  const auto got = ::recv(from_client ? over.client : over.server, bytes.data(), bytes.size(), 0);
  if (got <= 0)
    return false;
  const std::string_view read{bytes.data(), static_cast<std::size_t>(got)};
  if (over.silent)
    return true;
  if (from_client) {
    const std::lock_guard lock(guard_);
    over.silent = !silence_.empty() && read.find(silence_) != std::string_view::npos;
    if (over.silent)
      return true;
    if (!needle_.empty() && read.find(needle_) != std::string_view::npos) {
      over.doomed = true;
      needle_.clear();
    }
  } else if (over.doomed) {
    ++lost_answers_;
    return false;
  }
  return write_all(from_client ? over.server : over.client, read.data(), read.size());
}

void chaos_proxy::run() {
  while (!ending_) {
    std::vector<pollfd> ready{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const auto& one : links_) {
      ready.push_back({one.client, POLLIN, 0});
      ready.push_back({one.server, POLLIN, 0});
    }
    if (::poll(ready.data(), ready.size(), -1) < 0)
      continue;
    if (ready[0].revents != 0) {
      std::array<char, 64> marks;
      [[maybe_unused]] const auto got = ::read(wake_[0], marks.data(), marks.size());
      if (swallowing_)
        for (auto& one : links_)
          one.silent = true;
    }
    const bool cut_now = cutting_.exchange(false);
    for (std::size_t i = 0; 2 * i + 3 < ready.size(); ++i) {
      auto& one = links_[i];
      if (cut_now || (ready[2 * i + 2].revents != 0 && !relay(one, true))
          || (ready[2 * i + 3].revents != 0 && !relay(one, false)))
        drop(one);
    }
    std::erase_if(links_, [](const link& one) { return one.client < 0; });
    if (ready[1].revents != 0)
      accept_one();
  }
}

} // namespace troupe::tests
