// The table of routes: method, path pattern, role, body limit, handler. A path that is no route is
// 404, a method the path does not have is 405 with Allow, HEAD is served by GET. Deny by default: a
// route without a role cannot be added.
#pragma once

#include "http/message.hpp"
#include "messages/job.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

/// Answers through the responder, now or later.
using route_handler = std::function<void(const request_view&, responder)>;

struct route {
  method verb = method::get;
  std::string_view pattern;   ///< literal segments and at most one `{id}`; of static storage
  std::string_view role;      ///< anyone, viewer, producer, operator
  std::size_t body_limit = 0; ///< bytes
  bool json = false;          ///< takes JSON and nothing else: 415
  route_handler handle;
};

struct route_match {
  const route* found = nullptr;
  std::string param;
};

/// One `name=value` of a query, decoded.
struct query_parameter {
  std::string name;
  std::string value;
};

class router {
public:
  /// Throws std::logic_error for a route without role or handler, or one that is there already.
  void add(route entry);
  /// `path` as sent. A refused one gives the response to send.
  std::variant<route_match, response> match(method verb, std::string_view path) const;
  const std::vector<route>& routes() const { return routes_; }

private:
  struct known_route {
    std::vector<std::string_view> segments;
    std::size_t index; ///< in routes_
  };
  std::vector<route> routes_;
  std::vector<known_route> known_;
};

/// Decodes a path segment; nothing for broken escapes, NUL, an encoded slash or backslash, and `.`
/// or `..`.
std::optional<std::string> decode_segment(std::string_view text);
/// Decodes a query. Nothing for broken escapes, NUL or a name that comes twice.
std::optional<std::vector<query_parameter>> parse_query(std::string_view query);
/// A job's id in a path: 1 to 2^63-1 in decimal, without leading zeros.
std::optional<job_id> parse_id(std::string_view text);

} // namespace troupe::http
