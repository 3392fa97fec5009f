// See door.hpp.
#include "http/door.hpp"

#include "http/net.hpp"
#include "http/server.hpp"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace troupe::http {

namespace {

constexpr int first_free_port = 1024; ///< what lies below is root's

[[noreturn]] void cannot_listen(const std::string& where, const std::string& why) {
  throw std::runtime_error("cannot listen on " + where + ": " + why);
}

std::string port_trouble(int reason, std::uint16_t port) {
  switch (reason) {
  case EADDRINUSE:
    return "the address is taken, perhaps by another troupe; choose another with --listen";
  case EADDRNOTAVAIL:
    return "this machine has no such address; choose another with --listen";
  case EACCES:
    if (port < first_free_port)
      return "ports below 1024 are root's; choose another with --listen";
    [[fallthrough]];
  default:
    return std::strerror(reason);
  }
}

} // namespace

door::door(int family)
    : family_(family), descriptor_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}

door::door(door&& from) noexcept
    : family_(from.family_), descriptor_(from.release()), file_(std::move(from.file_)),
      port_(from.port_) {}

door::~door() {
  file_.reset(); // while the socket still holds the file's inode, so that it is no other's
  if (descriptor_ >= 0)
    ::close(descriptor_);
}

door door::on_port(const std::string& address, std::uint16_t port, int backlog) {
  error_code ec;
  const auto ip = net::ip::make_address(address == "localhost" ? "127.0.0.1" : address, ec);
  if (ec)
    cannot_listen(address, "give an IP address, such as 127.0.0.1 or ::1");
  tcp::endpoint where{ip, port};
  door out(where.protocol().family());
  const int yes = 1;
  auto size = static_cast<socklen_t>(where.capacity());
  if (out.descriptor_ < 0
      || ::setsockopt(out.descriptor_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0
      || ::bind(out.descriptor_, where.data(), static_cast<socklen_t>(where.size())) != 0
      || ::listen(out.descriptor_, backlog) != 0
      || ::getsockname(out.descriptor_, where.data(), &size) != 0)
    cannot_listen(ip.is_v6() ? "[" + address + "]:" + std::to_string(port)
                             : address + ":" + std::to_string(port),
                  port_trouble(errno, port));
  out.port_ = where.port();
  return out;
}

door door::on_path(const std::string& path, mode_t mode, int backlog) {
  auto file = std::make_unique<socket_file>(path);
  door out(AF_UNIX);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  path.copy(where.sun_path, sizeof where.sun_path - 1);
  // The file is made with no more than these rights; the process's umask may take some of them.
  if (out.descriptor_ < 0 || ::fchmod(out.descriptor_, mode) != 0
      || ::bind(out.descriptor_, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0)
    cannot_listen("unix:" + path, std::strerror(errno));
  out.file_ = std::move(file);
  out.file_->bound(mode);
  if (::listen(out.descriptor_, backlog) != 0)
    cannot_listen("unix:" + path, std::strerror(errno));
  return out;
}

doors open_doors(const server_options& options) {
  doors out;
  const int backlog = options.limits.backlog;
  if (!options.address.empty())
    out.tcp.emplace(door::on_port(options.address, options.port, backlog));
  if (!options.socket_path.empty())
    out.path.emplace(door::on_path(options.socket_path, options.socket_mode, backlog));
  return out;
}

} // namespace troupe::http
