// TLS of one connection, as OpenSSL does it over a socket that never blocks: each call does what it
// can at once and says what it waits for. The handshake is part of the first read. Sends and
// receives on the descriptor, which somebody else owns. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st; // OpenSSL's SSL
struct ssl_ctx_st;

namespace troupe::http {

class tls_session {
public:
  enum class progress : std::uint8_t {
    done,
    want_read,  ///< again when the socket can be read
    want_write, ///< again when it can be written
    end,        ///< the peer has ended its side, with or without saying so
    failed,
  };
  /// Of plain text in one record, and so the most that one write takes.
  static constexpr std::size_t record_bytes = 16 * 1024;

  /// Throws std::bad_alloc.
  tls_session(std::shared_ptr<ssl_ctx_st> context, int socket);

  progress read(std::span<char> into, std::size_t& count);
  /// The same, and the bytes stay.
  progress peek();
  /// Bytes of `first` and then of `second`. After want_... the next call must bring the same bytes.
  progress write(std::string_view first, std::string_view second, std::size_t& count);
  /// Says that nothing more comes (close_notify), once, if that can be said at once.
  void end_sending();
  /// What failed, in OpenSSL's words.
  const std::string& why() const { return why_; }

private:
  progress verdict(int result);

  std::shared_ptr<ssl_ctx_st> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  std::string gathered_; ///< of both texts, so that a short answer is one record
  std::string why_;
  bool broken_ = false;
  bool ended_ = false;
};

} // namespace troupe::http
