#include "handlers/transfer.hpp"

#include "handlers/address_policy.hpp"
#include "handlers/url.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

int on_close(void* owner, curl_socket_t fd) {
  static_cast<socket_owner*>(owner)->closing(fd);
  return ::close(fd);
}

std::string numeric(const sockaddr* address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  if (getnameinfo(address, length, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0)
    return "an address of an unknown family";
  return host.data();
}

fetch_error category(CURLcode code) {
  switch (code) {
  case CURLE_COULDNT_RESOLVE_HOST:
    return fetch_error::dns;
  case CURLE_COULDNT_CONNECT:
    return fetch_error::connect;
  case CURLE_OPERATION_TIMEDOUT:
    return fetch_error::timeout;
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_ENGINE_INITFAILED:
    return fetch_error::tls;
  case CURLE_URL_MALFORMAT:
  case CURLE_UNSUPPORTED_PROTOCOL:
    return fetch_error::refused;
  default:
    return fetch_error::protocol;
  }
}

std::string info_text(CURL* easy, CURLINFO info) {
  char* text = nullptr;
  curl_easy_getinfo(easy, info, &text);
  return text != nullptr ? text : "";
}

} // namespace

transfer::transfer(std::uint64_t id, fetch_request request, fetcher::reply done,
                   const fetcher_options& options, socket_owner& owner)
    : id_(id), request_(std::move(request)), done_(std::move(done)), options_(options),
      owner_(owner) {
  response_.url = request_.url;
}

transfer::~transfer() {
  if (!done_)
    return;
  fail(fetch_error::stopping, "the fetcher is stopping");
  deliver();
}

void transfer::set_up(CURL* easy, const fetcher_options& options, socket_owner& owner) {
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L); // else giving up a fetch waits for its name lookup, on the loop
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L); // redirects are followed by us, inside the site only
  set(CURLOPT_PROXY, ""); // an http_proxy in the environment would bypass the address check
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_time.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_time.count()));
  set(CURLOPT_BUFFERSIZE, 64L * 1024);
  set(CURLOPT_WRITEFUNCTION, &transfer::on_body);
  set(CURLOPT_HEADERFUNCTION, &transfer::on_header);
  set(CURLOPT_OPENSOCKETFUNCTION, &transfer::on_open);
  set(CURLOPT_CLOSESOCKETFUNCTION, &on_close);
  set(CURLOPT_CLOSESOCKETDATA, &owner);
}

void transfer::begin(easy_handle easy) {
  easy_ = std::move(easy);
  header_bytes_ = 0;
  refused_address_ = false;
  error_text_[0] = '\0';
  response_.body.clear();
  CURL* e = easy_.get();
  curl_easy_setopt(e, CURLOPT_URL, response_.url.c_str());
  curl_easy_setopt(e, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(e, CURLOPT_PRIVATE, this);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, error_text_.data());
}

easy_handle transfer::end() {
  if (easy_)
    curl_easy_setopt(easy_.get(), CURLOPT_ERRORBUFFER, nullptr);
  return std::move(easy_);
}

std::size_t transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& t = *static_cast<transfer*>(self);
  const auto bytes = size * count;
  if (t.response_.body.size() + bytes > t.options_.body_bytes) {
    t.response_.error = fetch_error::too_large;
    t.response_.reason =
        "the decoded body is larger than " + std::to_string(t.options_.body_bytes) + " bytes";
    return 0;
  }
  t.response_.body.append(data, bytes);
  return bytes;
}

std::size_t transfer::on_header(char*, std::size_t size, std::size_t count, void* self) {
  auto& t = *static_cast<transfer*>(self);
  t.header_bytes_ += size * count;
  if (t.header_bytes_ <= t.options_.header_bytes)
    return size * count;
  t.response_.error = fetch_error::too_large;
  t.response_.reason =
      "the headers are larger than " + std::to_string(t.options_.header_bytes) + " bytes";
  return 0;
}

/// The only reliable place for the check: this is the address that will be connected.
curl_socket_t transfer::on_open(void* self, curlsocktype, curl_sockaddr* address) {
  auto& t = *static_cast<transfer*>(self);
  if (!t.options_.allow_private && !is_public(address->addr)) {
    t.refused_address_ = true;
    t.refused_text_ = numeric(&address->addr, address->addrlen);
    return CURL_SOCKET_BAD;
  }
  const auto fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0)
    return CURL_SOCKET_BAD;
  t.owner_.opened(fd);
  return fd;
}

void transfer::set_error(CURLcode code) {
  if (response_.error != fetch_error::none)
    return; // a callback knew better
  response_.error = category(code);
  if (refused_address_ && response_.error == fetch_error::connect) {
    response_.error = fetch_error::refused;
    response_.reason = "refused to connect to " + refused_text_ + ": not a public address";
    return;
  }
  response_.reason = error_text_[0] != '\0' ? error_text_.data() : curl_easy_strerror(code);
}

bool transfer::follow_redirect() {
  auto next = normalise_url(info_text(easy_.get(), CURLINFO_REDIRECT_URL));
  auto* url = std::get_if<std::string>(&next);
  if (url == nullptr || !same_site(*url, request_.url)) {
    response_.location = url != nullptr ? *url : info_text(easy_.get(), CURLINFO_REDIRECT_URL);
    return false;
  }
  if (++redirects_ > options_.redirects) {
    fail(fetch_error::redirects,
         "more than " + std::to_string(options_.redirects) + " redirects inside the site");
    return false;
  }
  response_.url = std::move(*url);
  return true;
}

bool transfer::finished(CURLcode code) {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  if (code != CURLE_OK) {
    set_error(code);
    return false;
  }
  if (status >= 300 && status < 400 && !info_text(easy_.get(), CURLINFO_REDIRECT_URL).empty())
    return follow_redirect();
  response_.content_type = info_text(easy_.get(), CURLINFO_CONTENT_TYPE);
  curl_off_t wait = 0;
  if (curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
    response_.retry_after = std::chrono::seconds(wait);
  return false;
}

void transfer::fail(fetch_error error, std::string reason) {
  response_.error = error;
  response_.reason = std::move(reason);
}

void transfer::deliver() {
  if (auto done = std::exchange(done_, nullptr))
    done(std::move(response_));
}

} // namespace troupe
