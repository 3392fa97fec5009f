// One fetch on its way through libcurl: the easy handle with its caps and callbacks, and how its
// end becomes a fetch_response. Used by fetcher.cpp only, on the loop's thread.
#pragma once

#include "handlers/fetcher.hpp"

#include <curl/curl.h>

#include <array>
#include <memory>

namespace troupe {

struct easy_cleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using easy_handle = std::unique_ptr<CURL, easy_cleanup>;

/// Tells the owner of sockets (the fetcher's core) about those that libcurl opens and closes.
class socket_owner {
public:
  virtual ~socket_owner() = default;
  virtual void opened(curl_socket_t fd) = 0;
  /// The descriptor is about to be closed.
  virtual void closing(curl_socket_t fd) = 0;
};

class transfer {
public:
  /// `options` and `owner` outlive it.
  transfer(std::uint64_t id, fetch_request request, fetcher::reply done,
           const fetcher_options& options, socket_owner& owner);
  /// A fetch that dies unanswered (the loop was torn down) is answered with `stopping`.
  ~transfer();
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;

  /// Options that hold for every transfer; an easy handle keeps them between transfers.
  static void set_up(CURL* easy, const fetcher_options& options, socket_owner& owner);
  /// Takes the handle for this transfer's current URL.
  void begin(easy_handle easy);
  easy_handle end();
  CURL* easy() const { return easy_.get(); }

  std::uint64_t id() const { return id_; }
  const std::stop_token& stop() const { return request_.stop; }

  /// Reads the outcome of a finished hop. True when a redirect inside the site has to be followed:
  /// then begin() takes the next hop's URL.
  bool finished(CURLcode code);
  /// Ends it without libcurl's word.
  void fail(fetch_error error, std::string reason);
  /// Calls the reply with what is there. Once.
  void deliver();

  /// Registered while the transfer waits or runs.
  std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop;

private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static curl_socket_t on_open(void* self, curlsocktype, curl_sockaddr* address);
  void set_error(CURLcode code);
  bool follow_redirect();

  std::uint64_t id_;
  fetch_request request_;
  fetcher::reply done_;
  const fetcher_options& options_;
  socket_owner& owner_;
  easy_handle easy_;
  fetch_response response_;
  std::size_t header_bytes_ = 0;
  int redirects_ = 0;
  bool refused_address_ = false;
  std::string refused_text_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};
};

} // namespace troupe
