// Turns a connection's bytes into requests, one after the other, without doing I/O: whoever owns
// the socket puts bytes in and asks how far the request is. Holds at most limits.buffer_bytes
// undecoded and the one body it was told to accept. Beast's parser is inside.
#pragma once

#include "http/framing.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace troupe::http {

class request_reader {
public:
  enum class progress : std::uint8_t {
    need_more,
    head,     ///< the head is complete and sound; call accept_body, then advance again
    complete, ///< head and body are here until next()
    refused,  ///< why() says it; the connection's bytes have no meaning any more
  };

  explicit request_reader(const server_limits& limits);
  ~request_reader();
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  /// Where to put the next bytes; at least one byte long after need_more.
  std::span<char> space();
  void received(std::size_t count);
  progress advance();
  /// Takes a body of up to `limit` bytes; a longer one is refused with 413, by its Content-Length
  /// before any of it is read.
  void accept_body(std::size_t limit);
  /// Forgets the request that is complete; bytes behind it stay.
  void next();

  const request_head& head() const;
  const framing& borders() const;
  const std::string& body() const; ///< as far as it has come
  std::size_t body_memory() const; ///< bytes; 0 while it is small
  /// What any connection may keep, idle or not.
  static bool is_small(std::size_t body);
  const refusal& why() const;
  bool has_bytes() const; ///< some of a request, or of what follows it, is buffered

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace troupe::http
