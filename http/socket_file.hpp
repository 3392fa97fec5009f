// The file of a Unix socket: whose it is, and the way from a dead server's to ours. Beside it lies
// PATH.lock, held as long as the server listens, so that of two that start only one takes it over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>

namespace troupe::http {

class socket_file {
public:
  static constexpr std::size_t path_bytes = 107; ///< of sockaddr_un, without its end

  /// Makes the path free for bind(): what a dead server left there is removed. Throws
  /// std::runtime_error with a sentence for the operator when a live one listens there, when
  /// something else is there, or when the path cannot be one.
  explicit socket_file(std::string path);
  /// Removes what bound() saw, unless somebody else's is there by now.
  ~socket_file();
  socket_file(const socket_file&) = delete;
  socket_file& operator=(const socket_file&) = delete;

  const std::string& path() const { return path_; }
  /// After bind(): this is ours, and may be used by whom `mode` says. Throws as above.
  void bound(mode_t mode);

private:
  void lock();
  void clear() const;

  std::string path_;
  int lock_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0; ///< 0: not bound
};

} // namespace troupe::http
