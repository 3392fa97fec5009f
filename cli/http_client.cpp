#include "cli/http_client.hpp"

#include "cli/exit_code.hpp"
#include "cli/talk.hpp"
#include "cli/text.hpp"
#include "messages/version.hpp"

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::cli {

namespace {

using steady = std::chrono::steady_clock;

} // namespace

struct http_client::state {
  client_settings server;
  std::string base;        ///< before the path of a request
  std::string socket_path; ///< empty: by TCP
  long timeout_ms = 0;
  CURL* easy = nullptr;
  std::string body;
  std::vector<std::string> headers;
  const std::atomic<bool>* abort = nullptr;
  steady::time_point given_up = steady::time_point::max();
  bool too_large = false;
};

namespace {

constexpr std::size_t quoted_body = 500;
/// Seconds; more is as good as never.
constexpr curl_off_t longest_patience = 100'000;
/// Statuses of what is downloaded.
constexpr long whole = 200;
constexpr long partial = 206;

/// What OpenSSL says of a chain (x509_vfy.h); libcurl passes it on.
enum verify_result : std::uint8_t {
  expired_certificate = 10,
  self_signed = 18,
  self_signed_in_chain = 19,
  unknown_issuer = 20,
  unverified_leaf = 21,
};

using header_list = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

constexpr std::string_view unix_scheme = "unix:";

/// The problem of an address that showed wrong tokens: waiting makes none of them right.
constexpr std::string_view too_many_failures = "too_many_failures";

bool is_loopback_url(const std::string& url) {
  const auto host = url.substr(url.find("://") + 3);
  return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
}

} // namespace

http_client::http_client(client_settings server) : state_(std::make_unique<state>()) {
  auto& url = server.url;
  if (url.starts_with(unix_scheme)) {
    state_->socket_path = url.substr(unix_scheme.size());
    state_->base = "http://localhost";
    if (state_->socket_path.empty() || state_->socket_path.front() != '/')
      throw command_error(exit_code::usage, "'" + url
                                                + "' needs a path that begins with /, such as "
                                                  "unix:/run/troupe.sock");
  } else {
    if (url.starts_with('/'))
      throw command_error(exit_code::usage, "'" + url
                                                + "' is no URL; a Unix socket is named by its "
                                                  "path behind unix:, as in unix:"
                                                + url);
    if (url.find("://") == std::string::npos)
      url = "http://" + url;
    while (url.ends_with('/'))
      url.pop_back();
    state_->base = url;
  }
  state_->timeout_ms = static_cast<long>(server.timeout * 1000);
  state_->server = std::move(server);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  state_->easy = curl_easy_init();
  if (state_->easy == nullptr)
    throw std::runtime_error("libcurl could not be initialised");
}

http_client::~http_client() {
  curl_easy_cleanup(state_->easy);
}

void http_client::add_header(const std::string& name, const std::string& value) {
  state_->headers.push_back(name + ": " + value);
}

void http_client::abort_when(const std::atomic<bool>& flag) {
  state_->abort = &flag;
}

void http_client::give_up_after(std::chrono::duration<double> limit) {
  state_->given_up = steady::now() + std::chrono::duration_cast<steady::duration>(limit);
}

/// What every request has, but its body and where its answer goes.
void http_client::set_up(const std::string& path, const char* method, char* why) {
  auto* easy = state_->easy;
  const auto& server = state_->server;
  curl_easy_reset(easy); // keeps the connection
  curl_easy_setopt(easy, CURLOPT_URL, (state_->base + path).c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, (std::string{"troupe/"} + version).c_str());
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!server.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, server.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr); // the system's
  }
  if (!state_->socket_path.empty())
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, state_->socket_path.c_str());
  if (is_loopback_url(state_->base))
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  if (!server.token.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, server.token.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

namespace {

/// Of a certificate that is not to be trusted, in words that say what to do.
std::string distrust(CURL* easy, const char* why) {
  long result = 0;
  curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
  switch (result) {
  case expired_certificate:
    return "its certificate has expired";
  case unknown_issuer:
  case self_signed:
  case self_signed_in_chain:
  case unverified_leaf:
    return "its certificate is of no authority that is known here; name the file of its authority "
           "by --ca-file or TROUPE_CA_FILE";
  default:
    return why;
  }
}

/// libcurl's words for a socket that is a file are those for a port.
std::string reason_of(CURL* easy, CURLcode result, const std::string& server, const char* why) {
  long error = 0;
  if (result == CURLE_COULDNT_CONNECT && server.starts_with(unix_scheme)
      && curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error) == CURLE_OK && error != 0)
    return std::generic_category().message(static_cast<int>(error));
  return why[0] != '\0' ? why : curl_easy_strerror(result);
}

/// The same address by the other scheme.
std::string other_scheme(const std::string& url) {
  if (!url.starts_with("http"))
    return url;
  return url.starts_with("https") ? "http" + url.substr(5) : "https" + url.substr(4);
}

/// Throws when there is no answer.
void check(CURL* easy, CURLcode result, const client_settings& settings, const char* why) {
  const auto server = without_password(settings.url);
  const auto use_other = "set --url or TROUPE_URL to " + other_scheme(server);
  // That is what libcurl takes any bytes for.
  if (result == CURLE_UNSUPPORTED_PROTOCOL
      && std::string_view{why}.starts_with("Received HTTP/0.9"))
    throw command_error(exit_code::failed, "what listens at " + server
                                               + " does not speak HTTP; if it speaks TLS, "
                                               + use_other);
  if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL)
    throw command_error(exit_code::usage, "'" + server
                                              + "' is no http or https URL; set --url or "
                                                "TROUPE_URL, such as http://127.0.0.1:8080");
  if (result == CURLE_PEER_FAILED_VERIFICATION)
    throw command_error(exit_code::failed,
                        "the server at " + server + " is not trusted: " + distrust(easy, why));
  if (result == CURLE_SSL_CACERT_BADFILE)
    throw command_error(exit_code::usage, "--ca-file: '" + settings.ca_file
                                              + "' has no certificates that can be read");
  if (result == CURLE_SSL_CONNECT_ERROR)
    throw command_error(exit_code::failed, "there is no TLS with the server at " + server + " ("
                                               + why + "); if it speaks plain HTTP, " + use_other);
  if (result == CURLE_ABORTED_BY_CALLBACK)
    throw command_error(exit_code::interrupted, "the request was given up");
  if (result == CURLE_OPERATION_TIMEDOUT)
    throw command_error(exit_code::timed_out, "no answer from " + server + " in time: " + why);
  const bool hung_up = result == CURLE_GOT_NOTHING || result == CURLE_RECV_ERROR;
  if (result != CURLE_OK)
    throw command_error(
        exit_code::unavailable,
        "no server answers at " + server + " (" + reason_of(easy, result, server, why)
            + "); start one with 'troupe dev', or name another by --url"
            + (hung_up && server.starts_with("http:") ? "; if it speaks TLS, " + use_other : ""));
}

using writer = std::size_t (*)(char*, std::size_t, std::size_t, void*);

/// Where a download's bytes go.
struct taker {
  CURL* easy;
  const std::function<void(std::string_view)>& take;
  long wanted; ///< status
  std::string problem;
  bool begun = false;
  std::exception_ptr failed;

  std::size_t write(std::string_view bytes) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == whole && wanted == partial) {
      failed = std::make_exception_ptr(
          command_error(exit_code::failed, "the file is another one by now"));
      return 0;
    }
    if (status != wanted) {
      problem.append(bytes, 0, http_client::answer_bytes - problem.size());
      return bytes.size();
    }
    begun = true;
    try {
      take(bytes);
      return bytes.size();
    } catch (...) {
      failed = std::current_exception();
      return 0;
    }
  }
};

void tell_request(const char* method, const std::string& path, const http_answer& answer,
                  steady::duration took) {
  if (manner_in_use().verbose)
    tell_more(std::string{method} + " " + path + ": " + std::to_string(answer.status) + " after "
              + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count())
              + " ms");
}

http_answer answer_of(CURL* easy, std::string body) {
  http_answer out;
  out.body = std::move(body);
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &out.status);
  curl_off_t seconds = 0; // also of a date
  if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK)
    out.retry_after = std::chrono::seconds{std::min(seconds, longest_patience)};
  return out;
}

} // namespace

steady::time_point http_client::end_of_patience() const {
  return std::min(state_->given_up, steady::now() + std::chrono::milliseconds{state_->timeout_ms});
}

/// True when the time is over that the server asked to wait; false when that is not to be waited
/// for.
bool http_client::wait_as_asked(const http_answer& answer, steady::time_point end) const {
  constexpr std::chrono::milliseconds slice{50}; // in which an abort is seen
  const auto patience = asked_patience(answer);
  const auto until = steady::now() + patience;
  if (patience == std::chrono::seconds{0} || until > end)
    return false;
  for (auto now = steady::now(); now < until; now = steady::now()) {
    if (state_->abort != nullptr && state_->abort->load())
      throw command_error(exit_code::interrupted, "the request was given up");
    std::this_thread::sleep_for(std::min<steady::duration>(slice, until - now));
  }
  return true;
}

http_answer http_client::send(const char* method, const std::string& path,
                              const std::optional<std::string>& body) {
  const auto end = end_of_patience();
  auto limit = std::chrono::milliseconds{state_->timeout_ms};
  while (true) {
    const auto began = steady::now();
    auto answer = send_once(method, path, body, limit);
    tell_request(method, path, answer, steady::now() - began);
    if (!wait_as_asked(answer, end))
      return answer;
    limit = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(end - steady::now()),
                     std::chrono::milliseconds{1});
  }
}

http_answer http_client::send_once(const char* method, const std::string& path,
                                   const std::optional<std::string>& body,
                                   std::chrono::milliseconds limit) {
  auto* easy = state_->easy;
  state_->body.clear();
  std::array<char, CURL_ERROR_SIZE> why{};
  header_list headers(curl_slist_append(nullptr, "Content-Type: application/json"),
                      &curl_slist_free_all);
  curl_slist_append(headers.get(), "Expect:");
  for (const auto& header : state_->headers)
    curl_slist_append(headers.get(), header.c_str());
  set_up(path, method, why.data());
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(limit.count()));
  if (body) {
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->c_str());
  }
  if (state_->abort != nullptr) {
    using watcher = int (*)(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
    const watcher watch = [](void* flag, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
      return static_cast<const std::atomic<bool>*>(flag)->load() ? 1 : 0;
    };
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, state_->abort);
  }
  const writer write = [](char* data, std::size_t, std::size_t size, void* into) -> std::size_t {
    auto& self = *static_cast<state*>(into);
    if (self.body.size() + size > answer_bytes)
      return 0;
    self.body.append(data, size);
    return size;
  };
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, state_.get());
  const auto result = curl_easy_perform(easy);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  check(easy, result, state_->server, why.data());
  return answer_of(easy, std::move(state_->body));
}

void http_client::download(const std::string& path,
                           const std::function<void(std::string_view)>& take, const part& from) {
  const auto end = end_of_patience();
  const auto began = steady::now();
  auto answer = download_once(path, take, from);
  tell_request("GET", path, answer, steady::now() - began);
  while (wait_as_asked(answer, end))
    answer = download_once(path, take, from);
  if (const auto code = exit_code_of_answer(answer); code != exit_code::ok)
    throw command_error(code, problem_text(answer));
}

/// An answer that is no problem has no body: `take` has it.
http_answer http_client::download_once(const std::string& path,
                                       const std::function<void(std::string_view)>& take,
                                       const part& from) {
  auto* easy = state_->easy;
  std::array<char, CURL_ERROR_SIZE> why{};
  header_list headers(nullptr, &curl_slist_free_all);
  set_up(path, "GET", why.data());
  if (from.offset > 0) {
    curl_easy_setopt(easy, CURLOPT_RANGE, (std::to_string(from.offset) + '-').c_str());
    headers.reset(curl_slist_append(nullptr, ("If-Range: " + from.etag).c_str()));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  }
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, state_->timeout_ms);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   static_cast<long>(std::chrono::seconds{longest_silence}.count()));
  if (!is_loopback_url(state_->base))
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
  taker into{easy, take, from.offset > 0 ? partial : whole, {}, false, {}};
  const writer write = [](char* data, std::size_t, std::size_t size, void* to) -> std::size_t {
    return static_cast<taker*>(to)->write({data, size});
  };
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &into);
  const auto result = curl_easy_perform(easy);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  if (into.failed)
    std::rethrow_exception(into.failed);
  if (result != CURLE_OK && into.begun)
    throw cut_off(exit_code::failed,
                  "the answer was cut off by the server or on its way ("
                      + std::string{why[0] != '\0' ? why.data() : curl_easy_strerror(result)}
                      + ")");
  check(easy, result, state_->server, why.data());
  return answer_of(easy, std::move(into.problem));
}

http_answer http_client::request(const char* method, const std::string& path,
                                 const std::optional<std::string>& body) {
  auto answer = send(method, path, body);
  if (const auto code = exit_code_of_answer(answer); code != exit_code::ok)
    throw command_error(code, problem_text(answer));
  return answer;
}

std::string http_client::escaped(std::string_view text) {
  char* out = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  if (out == nullptr)
    throw std::bad_alloc{};
  std::string copy = out;
  curl_free(out);
  return copy;
}

std::string problem_text(const http_answer& answer) {
  const auto status = "HTTP " + std::to_string(answer.status);
  const auto wait =
      answer.retry_after.count() == 0
          ? std::string{}
          : "; the server asks to wait " + std::to_string(answer.retry_after.count()) + " s";
  const auto fault = nlohmann::json::parse(answer.body, nullptr, false);
  if (!fault.is_object() || !fault.contains("detail") || !fault["detail"].is_string())
    return status + (answer.body.empty() ? "" : ": " + answer.body.substr(0, quoted_body)) + wait;
  auto text = fault["detail"].get<std::string>() + " (" + status + ")";
  if (fault.value("code", nlohmann::json{}) == "token_required")
    text += "; name a token's file by --token-file, or put the token into TROUPE_TOKEN";
  if (fault.value("code", nlohmann::json{}) == "tls_required")
    text += "; set --url or TROUPE_URL to https:// and its name";
  const auto errors = fault.value("errors", nlohmann::json::array());
  if (errors.size() > 1)
    for (const auto& error : errors)
      if (error.is_object())
        text += "; " + error.value("pointer", "") + ": " + error.value("detail", "");
  return text + wait;
}

exit_code exit_code_of_answer(const http_answer& answer) {
  if (answer.status == 429 && problem_code(answer) == too_many_failures)
    return exit_code::unauthorised;
  // Nobody may do that: another token is no help.
  if (answer.status == 403 && problem_code(answer) == "queue_reserved")
    return exit_code::usage;
  return exit_code_of_status(answer.status);
}

std::chrono::seconds asked_patience(const http_answer& answer) {
  if (answer.status != 429 && answer.status != 503)
    return {};
  const auto fault = nlohmann::json::parse(answer.body, nullptr, false);
  if (!fault.is_object() || fault.value("retryable", nlohmann::json{}) != true
      || problem_code(answer) == too_many_failures)
    return {};
  return answer.retry_after;
}

std::string problem_code(const http_answer& answer) {
  const auto fault = nlohmann::json::parse(answer.body, nullptr, false);
  const auto code = fault.is_object() ? fault.value("code", nlohmann::json{}) : nlohmann::json{};
  return code.is_string() ? code.get<std::string>() : std::string{};
}

} // namespace troupe::cli
