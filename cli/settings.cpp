#include "cli/settings.hpp"

#include "cli/suggest.hpp"
#include "cli/text.hpp"
#include "messages/job.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <sys/un.h>
#include <vector>

namespace troupe::cli {

namespace {

constexpr int most_slots = 10'000;
constexpr std::size_t longest_id = 19;
constexpr std::string_view unix_scheme = "unix:";

std::optional<int> number(std::string_view text, int most) {
  int value = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value < 0 || value > most)
    return std::nullopt;
  return value;
}

bool is_v6(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_v4(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

/// Of a sockaddr_un, without its end.
constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;

/// Nothing when it is none, or has control characters.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == '%') {
      const auto* first = text.data() + i + 1;
      const auto left = text.size() - i - 1;
      if (left < 2 || std::from_chars(first, first + 2, c, 16).ptr != first + 2)
        return std::nullopt;
      i += 2;
    }
    if (c < ' ' || c == 0x7f)
      return std::nullopt;
    out += static_cast<char>(c);
  }
  return out;
}

std::string read_socket_path(const std::string& path) {
  if (path.empty() || path.front() != '/')
    throw std::invalid_argument("--listen: 'unix:" + printable(path)
                                + "' needs a path that begins with /, such as "
                                  "unix:/run/troupe.sock");
  if (path.size() > longest_path)
    throw std::invalid_argument("--listen: a socket's path has at most "
                                + std::to_string(longest_path) + " bytes, and '" + printable(path)
                                + "' has " + std::to_string(path.size()));
  return path;
}

} // namespace

endpoint read_endpoint(const std::string& text) {
  const auto colon = text.rfind(':');
  auto host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  if (host == "localhost")
    host = "127.0.0.1";
  const auto port =
      colon == std::string::npos ? std::nullopt : number(text.substr(colon + 1), 65'535);
  if (!port || !(bracketed ? is_v6(host) : is_v4(host)))
    throw std::invalid_argument(
        "'" + text
        + "' is no HOST:PORT; give an IP address and a port, such as "
          "127.0.0.1:8080 or [::1]:8080 (port 0: any free one), or unix:PATH");
  return {host, static_cast<std::uint16_t>(*port)};
}

listen_places read_listen(const std::string& text) {
  listen_places out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    const auto one = text.substr(at, comma - at);
    at = comma + 1;
    const bool is_path = one.starts_with(unix_scheme);
    if (is_path ? !out.socket_path.empty() : out.tcp.has_value())
      throw std::invalid_argument("--listen: '" + printable(text)
                                  + "' names two places of one kind; give one HOST:PORT, one "
                                    "unix:PATH, or both with a comma between them");
    if (is_path)
      out.socket_path = read_socket_path(one.substr(unix_scheme.size()));
    else
      out.tcp = read_endpoint(one);
  }
  return out;
}

bool is_loopback(const std::string& host) {
  return host.starts_with("127.") || host == "::1";
}

std::pair<std::string, int> read_queue_slots(const std::string& text) {
  const auto colon = text.rfind(':');
  const auto slots =
      colon == std::string::npos ? std::nullopt : number(text.substr(colon + 1), most_slots);
  if (!slots || !is_valid_name(text.substr(0, colon)))
    throw std::invalid_argument("'" + text + "' is no NAME:SLOTS; give a queue and 0 to "
                                + std::to_string(most_slots) + " slots, such as mail:8");
  return {text.substr(0, colon), *slots};
}

std::string read_otlp_endpoint(const std::string& text) {
  const auto scheme = text.starts_with("http://") ? 7U : text.starts_with("https://") ? 8U : 0U;
  const auto host = text.substr(scheme, text.find('/', scheme) - scheme);
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '?' && c != '#' && c != '@';
  });
  if (scheme == 0 || host.empty() || host.front() == ':' || !plain)
    throw std::invalid_argument("--otlp-endpoint: give a collector's URL, such as "
                                "http://127.0.0.1:4318; credentials belong into otlp_headers");
  return text;
}

std::vector<std::pair<std::string, std::string>> read_otlp_headers(const std::string& text) {
  // What is wrong is not shown: it may be secret.
  const std::invalid_argument wrong{
      "--otlp-headers: give NAME=VALUE with commas between them, values percent-encoded, such as "
      "Authorization=Bearer%20abc"};
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t at = 0; at < text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    const auto one = text.substr(at, comma - at);
    at = comma + 1;
    const auto equals = one.find('=');
    const auto name = one.substr(0, equals);
    const auto value =
        equals == std::string::npos ? std::nullopt : percent_decoded(one.substr(equals + 1));
    const bool token = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '_';
    });
    if (!token || !value || value->empty())
      throw wrong;
    out.emplace_back(name, *value);
  }
  return out;
}

std::chrono::milliseconds read_duration(const std::string& text) {
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto unit = text.substr(digits);
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + digits, value);
  const double factor = unit.empty() || unit == "s" ? 1000
                        : unit == "ms"              ? 1
                        : unit == "min"             ? 60'000
                        : unit == "h"               ? 3'600'000
                        : unit == "d"               ? 86'400'000
                                                    : 0;
  constexpr double longest = 1e12; // ms; thirty years
  if (problem != std::errc{} || end != text.data() + digits || factor == 0
      || value * factor > longest)
    throw std::invalid_argument("'" + printable(text)
                                + "' is no time; write seconds, or 250ms, 3s, 5min, 1h, 7d");
  return std::chrono::milliseconds{std::llround(value * factor)};
}

selector read_selector(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    throw std::invalid_argument("'" + text
                                + "' is no NAME=XPATH; give a column and an XPath expression, "
                                  "such as author=//span[@class='author']");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

const std::vector<std::string>& state_names() {
  static const std::vector<std::string> names{"pending",   "scheduled", "available", "running",
                                              "retryable", "completed", "cancelled", "discarded"};
  return names;
}

void check_state(const std::string& text) {
  if (parse_job_state(text))
    return;
  const auto& states = state_names();
  const auto near = nearest(text, states);
  std::string all;
  for (const auto& each : states)
    all += (all.empty() ? "" : ", ") + each;
  throw std::invalid_argument(
      "there is no state '" + printable(text) + "'; "
      + (near.empty() ? "states are " + all : "did you mean " + near + "?"));
}

std::string read_job_id(const std::string& text) {
  const bool digits = !text.empty() && text.size() <= longest_id && text.front() != '0'
                      && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits)
    throw std::invalid_argument("'" + text + "' is no id; ids are whole numbers from 1");
  return text;
}

} // namespace troupe::cli
