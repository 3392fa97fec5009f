// Fetches pages for a crawl: libcurl's multi socket interface driven by the engine's I/O loop, so a
// thousand transfers need no thread. Asked by `scrape.page`; callable from any thread. Bounded:
// transfers at once, transfers waiting, decoded bytes, header bytes, time and redirects.
#pragma once

#include "messages/io_loop.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace troupe {

struct fetcher_options {
  std::size_t max_transfers = 64;
  std::size_t max_waiting = 10'000; ///< beyond it a fetch fails at once with `overloaded`
  long connections_per_host = 16;
  std::size_t body_bytes =
      8UL * 1024 * 1024; ///< decoded; counted as they come, unlike libcurl's own
  std::size_t header_bytes = 64UL * 1024;
  std::chrono::milliseconds total_time{30'000}; ///< of one hop, waiting for a connection included
  std::chrono::milliseconds connect_time{10'000};
  int redirects = 5; ///< followed inside the site only
  /// Loopback and private addresses are refused at connect time unless this is set.
  bool allow_private = false;
  std::string user_agent = "troupe/0.1";
};

enum class fetch_error : std::uint8_t {
  none,
  refused, ///< the URL, or the address it resolves to, must not be fetched
  dns,     ///< the name has no address now
  connect, ///< nobody answers there
  timeout,
  tls,
  too_large,  ///< body or headers beyond their cap
  protocol,   ///< the connection broke or what came is not HTTP
  redirects,  ///< more than allowed inside the site
  cancelled,  ///< the request's stop token
  overloaded, ///< the fetcher's waiting line is full
  stopping,   ///< the fetcher is going away
};

std::string_view to_string(fetch_error error);
/// True when the same fetch may well succeed a little later.
bool is_transient(fetch_error error);

struct fetch_request {
  std::string url; ///< in normal form
  std::stop_token stop;
};

struct fetch_response {
  fetch_error error = fetch_error::none;
  std::string reason;   ///< for a person; empty without an error
  int status = 0;       ///< of the last response, 0 when none came
  std::string url;      ///< where the body comes from, after redirects inside the site
  std::string location; ///< of a redirect that leaves the site and was not followed
  std::string content_type;
  std::string body; ///< decoded; on an error what had come until then
  std::optional<std::chrono::seconds> retry_after;
};

class fetcher {
public:
  using reply = std::function<void(fetch_response)>;

  /// The loop must outlive the fetcher, or drop what was posted to it.
  fetcher(io_loop& loop, fetcher_options options = {});
  /// Ends what is under way with `stopping`, on the loop's thread.
  ~fetcher();
  fetcher(const fetcher&) = delete;
  fetcher& operator=(const fetcher&) = delete;

  /// The reply comes exactly once, on the loop's thread, and must not block.
  void fetch(fetch_request request, reply done);

private:
  class core;
  std::shared_ptr<core> core_;
};

} // namespace troupe
