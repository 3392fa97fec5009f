// An address that is bound and listens while nobody accepts yet: what connects waits in the
// kernel's backlog. It needs no loop, so a node takes its addresses before it starts anything else.
#pragma once

#include "http/socket_file.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace troupe::http {

struct server_options;

/// Of programs that are started meanwhile none inherits it.
class door {
public:
  /// Both throw std::runtime_error with a sentence for the operator.
  static door on_port(const std::string& address, std::uint16_t port, int backlog);
  /// On a Unix socket whose file has this mode.
  static door on_path(const std::string& path, mode_t mode, int backlog);
  door(door&& from) noexcept;
  door& operator=(door&&) = delete;
  ~door();

  /// The one in use; 0 on a path.
  std::uint16_t port() const { return port_; }
  /// AF_INET, AF_INET6 or AF_UNIX
  int family() const { return family_; }
  /// The caller closes it, and the file before.
  int release() { return std::exchange(descriptor_, -1); }
  /// Null on a port.
  std::unique_ptr<socket_file> release_file() { return std::move(file_); }

private:
  explicit door(int family);

  int family_;
  int descriptor_;
  std::unique_ptr<socket_file> file_;
  std::uint16_t port_ = 0;
};

/// Those of one server.
struct doors {
  std::optional<door> tcp;
  std::optional<door> path;
};

/// Throws as above.
doors open_doors(const server_options& options);

} // namespace troupe::http
