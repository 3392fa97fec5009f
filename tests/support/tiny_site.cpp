#include "tests/support/tiny_site.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe::tests {

namespace {

constexpr int cycle = 32 * 1024; // bytes written at a time by an endless answer

std::string render(const site_answer& answer) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " Answer\r\n";
  if (!answer.type.empty())
    text += "Content-Type: " + answer.type + "\r\n";
  text += answer.headers;
  if (answer.how == site_answer::manner::whole)
    return text + "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n"
           + answer.body;
  if (answer.how == site_answer::manner::endless_headers)
    return text;
  return text + "Connection: close\r\n\r\n";
}

} // namespace

/// One accepted connection; used on the loop's thread only.
struct connection : std::enable_shared_from_this<connection> {
  connection(int f, std::unique_ptr<fd_watch> w) : fd(f), watch(std::move(w)) {}
  ~connection() { ::close(fd); }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  int fd;
  std::unique_ptr<fd_watch> watch;
  std::string in;
  std::string out;
  std::string repeated; ///< what an endless answer goes on with
};

struct tiny_site::state : std::enable_shared_from_this<tiny_site::state> {
  state(poll_loop& l, route r) : loop(l), answers(std::move(r)) {
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (fd < 0 || ::bind(fd, any, length) != 0 || ::listen(fd, 256) != 0
        || ::getsockname(fd, any, &length) != 0)
      throw std::system_error(errno, std::generic_category(), "listen on loopback");
    port = ntohs(address.sin_port);
    watch = loop.watch(fd);
  }
  ~state() { ::close(fd); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void await_connection() {
    watch->when_readable([weak = weak_from_this()] {
      if (auto self = weak.lock())
        self->accept_all();
    });
  }

  void accept_all() {
    if (!watch)
      return;
    for (;;) {
      const int peer = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (peer < 0)
        break;
      const int on = 1;
      ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto c = std::make_shared<connection>(peer, loop.watch(peer));
      open[peer] = c;
      {
        const std::lock_guard lock(guard);
        ++accepted;
        most = std::max(most, static_cast<int>(open.size()));
      }
      await_request(c);
    }
    await_connection();
  }

  void await_request(const std::shared_ptr<connection>& c) {
    c->watch->when_readable([weak = weak_from_this(), c = std::weak_ptr(c)] {
      auto self = weak.lock();
      if (auto one = c.lock(); self && one)
        self->receive(one);
    });
  }

  void receive(const std::shared_ptr<connection>& c) {
    char piece[16 * 1024];
    const auto got = ::recv(c->fd, piece, sizeof piece, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      return await_request(c);
    if (got <= 0) {
      open.erase(c->fd);
      return;
    }
    c->in.append(piece, static_cast<std::size_t>(got));
    if (c->in.size() > 3 && !c->in.starts_with("GET ")) {
      c->in.clear();
      c->out += "HTTP/1.1 400 Not HTTP\r\n\r\n";
    }
    for (std::size_t end = 0; (end = c->in.find("\r\n\r\n")) != std::string::npos;) {
      const auto request = c->in.substr(0, end + 4);
      c->in.erase(0, end + 4);
      if (!answer(c, request))
        return;
    }
    send(c);
    await_request(c);
  }

  /// False when the connection is gone.
  bool answer(const std::shared_ptr<connection>& c, const std::string& request) {
    const auto from = request.find(' ') + 1;
    const auto target = request.substr(from, request.find(' ', from) - from);
    {
      const std::lock_guard lock(guard);
      ++hits[target];
      ++requests;
      last_request = request;
    }
    const auto wanted = answers(target);
    switch (wanted.how) {
    case site_answer::manner::silent:
      return true;
    case site_answer::manner::reset: {
      const linger hard{1, 0};
      ::setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      c->watch.reset(); // its duplicate keeps the connection open
      open.erase(c->fd);
      return false;
    }
    case site_answer::manner::endless_headers:
      c->repeated = "X-More: " + std::string(1000, 'x') + "\r\n";
      break;
    case site_answer::manner::endless_body:
      c->repeated = std::string(cycle, 'x');
      break;
    case site_answer::manner::drip: // a first byte, then silence
      c->out += render(wanted) + "<";
      return true;
    case site_answer::manner::whole:
      break;
    }
    c->out += render(wanted);
    return true;
  }

  void send(const std::shared_ptr<connection>& c) {
    for (;;) {
      while (c->out.size() < cycle && !c->repeated.empty())
        c->out += c->repeated;
      if (c->out.empty())
        return;
      const auto sent = ::send(c->fd, c->out.data(), c->out.size(), MSG_NOSIGNAL);
      if (sent < 0)
        break;
      c->out.erase(0, static_cast<std::size_t>(sent));
    }
    if (errno != EAGAIN) {
      open.erase(c->fd);
      return;
    }
    c->watch->when_writable([weak = weak_from_this(), c = std::weak_ptr(c)] {
      auto self = weak.lock();
      if (auto one = c.lock(); self && one)
        self->send(one);
    });
  }

  poll_loop& loop;
  route answers;
  int fd = -1;
  int port = 0;
  std::unique_ptr<fd_watch> watch;
  std::map<int, std::shared_ptr<connection>> open;

  mutable std::mutex guard; ///< of the figures below
  int accepted = 0;
  int requests = 0;
  int most = 0;
  std::map<std::string, int> hits;
  std::string last_request;
};

tiny_site::tiny_site(poll_loop& loop, route answers)
    : loop_(loop), state_(std::make_shared<state>(loop, std::move(answers))) {
  loop_.run([s = state_] { s->await_connection(); });
}

tiny_site::~tiny_site() {
  loop_.run([s = std::move(state_)] {
    s->watch.reset();
    s->open.clear();
  });
}

std::string tiny_site::url(const std::string& target) const {
  return "http://127.0.0.1:" + std::to_string(state_->port) + target;
}

int tiny_site::port() const {
  return state_->port;
}

int tiny_site::connections() const {
  const std::lock_guard lock(state_->guard);
  return state_->accepted;
}

int tiny_site::requests() const {
  const std::lock_guard lock(state_->guard);
  return state_->requests;
}

int tiny_site::hits(const std::string& target) const {
  const std::lock_guard lock(state_->guard);
  const auto found = state_->hits.find(target);
  return found == state_->hits.end() ? 0 : found->second;
}

int tiny_site::most_at_once() const {
  const std::lock_guard lock(state_->guard);
  return state_->most;
}

std::string tiny_site::last_request() const {
  const std::lock_guard lock(state_->guard);
  return state_->last_request;
}

} // namespace troupe::tests
