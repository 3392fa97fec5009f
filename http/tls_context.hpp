// The certificate and key that TLS shows, read from files, and read again when they change. A pair
// that cannot be used is refused at the start; later the one before stays in use, and the health
// check says so. Any thread.
#pragma once

#include "messages/health.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

struct ssl_ctx_st; // OpenSSL's SSL_CTX

namespace troupe::http {

struct tls_files {
  std::string certificate; ///< PEM: the server's, and behind it those between it and the authority
  std::string key;         ///< PEM, without a passphrase; not for everybody to read
};

class tls_context {
public:
  using ssl_ctx = std::shared_ptr<ssl_ctx_st>;
  using time_point = std::chrono::system_clock::time_point;
  /// A certificate that ends sooner is degraded; one that has ended is failing.
  static constexpr std::chrono::hours ends_soon{14 * 24};

  /// Throws std::runtime_error with a sentence for the operator.
  explicit tls_context(tls_files files);

  /// For the next connection; those that are open keep theirs.
  ssl_ctx current() const;
  /// False: the new pair cannot be used, the one before stays. Logs either.
  bool reload();
  /// The same when one of the files is another, or has changed, since it was last looked at.
  void reload_if_changed();
  health_check check(time_point now) const;

private:
  /// What tells one content of a file from another without reading it.
  struct file_mark {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const file_mark&) const = default;
  };
  struct marks {
    file_mark certificate;
    file_mark key;
    bool operator==(const marks&) const = default;
  };

  static file_mark mark_of(const std::string& path);
  marks look() const { return {mark_of(files_.certificate), mark_of(files_.key)}; }
  bool load_again(const marks& seen);

  tls_files files_;
  mutable std::mutex guard_;
  ssl_ctx context_;
  time_point ends_;
  std::string problem_; ///< of the last reload
  marks seen_;
};

} // namespace troupe::http
