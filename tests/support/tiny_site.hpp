// A small HTTP/1.1 server on loopback for tests of crawling: keep-alive, GET only, and able to
// misbehave: never answering, never ending, never stopping its headers. Lives on a poll_loop.
#pragma once

#include "tests/support/poll_loop.hpp"

#include <functional>
#include <string>

namespace troupe::tests {

struct site_answer {
  enum class manner : std::uint8_t { whole, silent, endless_body, endless_headers, drip, reset };
  int status = 200;
  std::string type = "text/html; charset=utf-8";
  std::string body{};
  std::string headers{}; ///< further header lines, each with CRLF
  manner how = manner::whole;
};

class tiny_site {
public:
  /// The route is called on the loop's thread, with the request's target.
  using route = std::function<site_answer(const std::string& target)>;

  tiny_site(poll_loop& loop, route answers);
  ~tiny_site();
  tiny_site(const tiny_site&) = delete;
  tiny_site& operator=(const tiny_site&) = delete;

  std::string url(const std::string& target) const;
  int port() const;
  int connections() const; ///< accepted so far
  int requests() const;
  int hits(const std::string& target) const;
  int most_at_once() const; ///< connections open at the same time
  std::string last_request() const;

  struct state;

private:
  poll_loop& loop_;
  std::shared_ptr<state> state_;
};

} // namespace troupe::tests
