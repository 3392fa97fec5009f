// See framing.hpp. RFC 9112 sections 2, 3, 6 and 7, read as strictly as they allow.
#include "http/framing.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace troupe::http {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_alnum(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c);
}

bool contains(std::string_view set, char c) {
  return set.find(c) != std::string_view::npos;
}

bool is_token_character(char c) {
  return is_alnum(c) || contains("!#$%&'*+-.^_`|~", c);
}

constexpr std::array<std::string_view, 9> known_methods = {
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"};

/// RFC 3986 path and query characters; everything else must come percent-encoded.
constexpr auto target_characters = [] {
  std::array<bool, 256> table{};
  for (char c = 'a'; c <= 'z'; ++c)
    table[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c)
    table[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c)
    table[static_cast<unsigned char>(c)] = true;
  for (const char c : std::string_view{"-._~!$&'()*+,;=:@/?%"})
    table[static_cast<unsigned char>(c)] = true;
  return table;
}();

refusal bad(std::string detail) {
  return {400, "malformed_request", std::move(detail)};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

bool names_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (iequals(trim(list.substr(0, comma)), token))
      return true;
    if (comma == std::string_view::npos)
      break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<refusal> check_request_line(const request_head& head, const server_limits& limits) {
  if (std::find(known_methods.begin(), known_methods.end(), head.method) == known_methods.end())
    return refusal{501, "method_unknown", "this method is not known; methods are upper case"};
  if (head.version != 10 && head.version != 11)
    return refusal{505, "version_not_supported", "speak HTTP/1.1"};
  if (head.target.size() > limits.target_bytes)
    return refusal{414, "target_too_long",
                   "the request target is longer than " + std::to_string(limits.target_bytes)
                       + " bytes"};
  const bool whole_server = head.target == "*" && head.method == "OPTIONS";
  if (!whole_server && (head.target.empty() || head.target.front() != '/'))
    return bad("the request target must be a path that starts with /");
  for (const char c : head.target)
    if (!target_characters[static_cast<unsigned char>(c)])
      return bad("the request target holds a character that must be percent-encoded");
  return std::nullopt;
}

/// What is collected from the fields before it is judged as a whole.
struct border_fields {
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  bool says_close = false;
  bool says_keep_alive = false;
  std::string_view length;
  std::string_view coding;
  std::string_view expect;
};

border_fields collect(const request_head& head, framing& out) {
  border_fields seen;
  for (const auto& field : head.fields) {
    if (iequals(field.name, "host")) {
      ++seen.hosts;
      out.host = field.value;
    } else if (iequals(field.name, "content-length")) {
      ++seen.lengths;
      seen.length = field.value;
    } else if (iequals(field.name, "transfer-encoding")) {
      ++seen.codings;
      seen.coding = field.value;
    } else if (iequals(field.name, "connection")) {
      seen.says_close = seen.says_close || names_token(field.value, "close");
      seen.says_keep_alive = seen.says_keep_alive || names_token(field.value, "keep-alive");
    } else if (iequals(field.name, "expect")) {
      seen.expect = field.value;
    }
  }
  return seen;
}

std::optional<refusal> check_body_fields(const border_fields& seen, int version, framing& out) {
  if (seen.codings > 0) {
    if (version == 10)
      return bad("Transfer-Encoding does not exist in HTTP/1.0");
    if (seen.lengths > 0)
      return bad("Transfer-Encoding and Content-Length exclude each other");
    if (seen.codings > 1 || !iequals(seen.coding, "chunked"))
      return bad("the only Transfer-Encoding taken is exactly: chunked");
    out.chunked = true;
  }
  if (seen.lengths > 1)
    return bad("there must be one Content-Length");
  if (seen.lengths == 1) {
    std::uint64_t length = 0;
    const char* last = seen.length.data() + seen.length.size();
    const auto [end, ec] = std::from_chars(seen.length.data(), last, length);
    if (ec != std::errc{} || end != last || !is_digit(seen.length.front()))
      return bad("Content-Length must be a decimal number");
    out.content_length = length;
  }
  return std::nullopt;
}

} // namespace

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return lower(x) == lower(y);
         });
}

std::string_view request_head::field(std::string_view name) const {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const auto& f) { return iequals(f.name, name); });
  return found == fields.end() ? std::string_view{} : found->value;
}

std::string_view host_name(std::string_view host) {
  if (!host.empty() && host.front() == '[')
    return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_valid_host(std::string_view host) {
  const auto name = host_name(host);
  if (name.empty() || name.size() > 255)
    return false;
  const bool bracketed = name.front() == '[';
  if (bracketed && (name.size() < 4 || name.back() != ']'))
    return false;
  const auto inner = bracketed ? name.substr(1, name.size() - 2) : name;
  for (const char c : inner)
    if (!is_alnum(c) && !contains(bracketed ? ":." : "-._~", c))
      return false;
  auto port = host.substr(name.size());
  if (port.empty())
    return true;
  port.remove_prefix(1);
  return host[name.size()] == ':' && port.size() <= 5
         && std::all_of(port.begin(), port.end(), is_digit);
}

std::variant<framing, refusal> validate_framing(const request_head& head,
                                                const server_limits& limits) {
  if (auto refused = check_request_line(head, limits))
    return *std::move(refused);
  if (head.fields.size() > limits.head_fields)
    return refusal{431, "head_too_large",
                   "more than " + std::to_string(limits.head_fields) + " header fields"};
  framing out;
  const auto seen = collect(head, out);
  if (seen.hosts > 1 || (seen.hosts == 0 && head.version == 11))
    return bad("there must be exactly one Host");
  if (seen.hosts == 1 && !is_valid_host(out.host))
    return bad("Host is not a host name or address with an optional port");
  if (auto refused = check_body_fields(seen, head.version, out))
    return *std::move(refused);
  if (!seen.expect.empty() && head.version == 11) {
    if (!iequals(seen.expect, "100-continue"))
      return refusal{417, "expectation_failed", "the only expectation met is 100-continue"};
    out.expects_continue = true;
  }
  out.keep_alive = !seen.says_close && (head.version == 11 || seen.says_keep_alive);
  return out;
}

void head_scanner::reset() {
  begin_ = end_ = scanned_ = line_start_ = lines_ = 0;
  why_ = {};
}

head_scanner::verdict head_scanner::refuse(int status, std::string_view code, std::string detail) {
  why_ = {status, code, std::move(detail)};
  return verdict::refused;
}

head_scanner::verdict head_scanner::check_line(std::string_view line) {
  if (std::memchr(line.data(), '\r', line.size()) != nullptr)
    return refuse(400, "malformed_request", "a carriage return stands within a line");
  if (lines_ > 0 && (line.front() == ' ' || line.front() == '\t'))
    return refuse(400, "malformed_request", "a header field is folded over lines");
  if (lines_ > limits_.head_fields)
    return refuse(431, "head_too_large",
                  "more than " + std::to_string(limits_.head_fields) + " header fields");
  return verdict::complete;
}

head_scanner::verdict head_scanner::check_unfinished(std::string_view bytes) {
  constexpr std::size_t rest_of_line = 32; // method, version, spaces
  if (lines_ == 0 && bytes.size() > line_start_) {
    const char first = bytes[line_start_];
    if (!is_token_character(first) && first != '\r')
      return refuse(400, "malformed_request", "this is not an HTTP request");
    if (bytes.size() - line_start_ > limits_.target_bytes + rest_of_line)
      return refuse(414, "target_too_long",
                    "the request target is longer than " + std::to_string(limits_.target_bytes)
                        + " bytes");
  }
  if (bytes.size() - begin_ > limits_.head_bytes)
    return refuse(431, "head_too_large",
                  "the head is longer than " + std::to_string(limits_.head_bytes) + " bytes");
  return verdict::need_more;
}

head_scanner::verdict head_scanner::scan(std::string_view bytes) {
  for (;;) {
    const auto newline = bytes.find('\n', scanned_);
    if (newline == std::string_view::npos) {
      scanned_ = bytes.size();
      return check_unfinished(bytes);
    }
    scanned_ = newline + 1;
    if (newline == line_start_ || bytes[newline - 1] != '\r')
      return refuse(400, "malformed_request", "a line ends without a carriage return");
    const auto line = bytes.substr(line_start_, newline - 1 - line_start_);
    if (line.empty() && lines_ == 0) {
      if (begin_ > 0)
        return refuse(400, "malformed_request", "empty lines stand before the request");
      begin_ = line_start_ = scanned_;
      continue;
    }
    const bool long_line = lines_ == 0 && line.size() > limits_.target_bytes;
    if ((long_line || scanned_ - begin_ > limits_.head_bytes)
        && check_unfinished(bytes.substr(0, scanned_)) == verdict::refused)
      return verdict::refused;
    if (line.empty()) {
      end_ = scanned_;
      return verdict::complete;
    }
    if (check_line(line) == verdict::refused)
      return verdict::refused;
    ++lines_;
    line_start_ = scanned_;
  }
}

} // namespace troupe::http
