// The table of routes: method, path pattern, role, what it takes and answers, handler. A path that
// is no route is 404, a method the path does not have is 405 with Allow, HEAD is served by GET,
// OPTIONS tells what a path takes. Deny by default: a route without a role does not compile. What
// is said here for clients is what /openapi.json says (http/openapi.hpp).
#pragma once

#include "http/message.hpp"
#include "messages/job.hpp"
#include "messages/role.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

/// Answers through the responder, now or later.
using route_handler = std::function<void(const request_view&, responder)>;

/// What a route is for. It has no default: a route that leaves it out does not compile.
struct operation {
  constexpr operation(std::string_view name, std::string_view group, std::string_view sentence,
                      std::string_view further = {})
      : id(name), tag(group), summary(sentence), more(further) {}
  std::string_view id;  ///< lowerCamelCase, one of a kind
  std::string_view tag; ///< the heading it is shown under
  std::string_view summary;
  std::string_view more; ///< further sentences, or empty
};

/// The role that a route needs. No default, as above.
class needed_role {
public:
  constexpr needed_role(role who) : who_(who) {}
  constexpr operator role() const { return who_; }

private:
  role who_;
};

/// How a route keeps to the queues of a token that is for some of them only. Deny by default: a
/// route that says nothing of it refuses such tokens.
enum class queue_scope : std::uint8_t {
  none,   ///< it cannot
  open,   ///< it shows nothing of any queue
  path,   ///< the path names the queue
  filter, ///< the query has to name one
  job,    ///< the path names a job, which has one; what a body names besides, the handler looks at
  query,  ///< the handler looks at those that the query names: covers()
  body,   ///< the handler looks at those that the body names: covers()
};

/// One way in which a request succeeds, or fails otherwise than with a problem.
struct answer_form {
  int status = 200;
  std::string_view schema = {}; ///< a component of http/schemas; empty: no body
  std::string_view type = "application/json";
};

/// The usual one, and others; of one status there may be several types. No default, as above.
struct answer_forms : std::vector<answer_form> {
  answer_forms(answer_form usual) : vector{usual} {}
  answer_forms(answer_form usual, answer_form other) : vector{usual, other} {}
  static answer_forms of(const std::vector<answer_form>& all) {
    answer_forms out{all.at(0)};
    out.assign(all.begin(), all.end());
    return out;
  }
};

struct body_form {
  std::string_view schema = {}; ///< a component of http/schemas; empty: takes no body
  std::size_t limit = 0;        ///< bytes; more are 413
  bool required = true;         ///< takes JSON and nothing else: 415
};

/// For what takes `{}` or nothing.
constexpr body_form no_content(std::size_t limit) {
  return {"Nothing", limit, false};
}

struct route {
  method verb = method::get;
  std::string_view pattern; ///< literal segments and at most one `{name}`; of static storage
  needed_role role;
  queue_scope scope = queue_scope::none;
  operation what;
  answer_forms answers;
  /// Of its query: components of http/schemas/parameters.json.
  std::vector<std::string_view> query = {};
  std::vector<std::string_view> headers = {}; ///< the same, of its head
  body_form body = {};
  std::vector<int> problems = {}; ///< statuses besides those that any such route may answer
  bool while_draining = false;    ///< a change that a node makes although it drains
  bool untraced = false; ///< asked again and again by machines: no span, and it begins no trace
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
  /// Throws std::logic_error for a route without handler or summary, or one that is there
  /// already. What is below /api/ and has no query refuses every parameter.
  void add(route entry);
  /// `path` as sent, or `*`. One that is refused, and OPTIONS, give the response to send.
  std::variant<route_match, response> match(method verb, std::string_view path) const;
  const std::vector<route>& routes() const { return routes_; }

private:
  struct known_route {
    std::vector<std::string_view> segments;
    std::size_t index; ///< in routes_
  };
  std::string all_verbs() const;

  std::vector<route> routes_;
  std::vector<known_route> known_;
};

/// Decodes a path segment; nothing for broken escapes, NUL, an encoded slash or backslash, and `.`
/// or `..`.
std::optional<std::string> decode_segment(std::string_view text);
/// Decodes a query. Nothing for broken escapes, NUL or a name that comes twice; `tag` may.
std::optional<std::vector<query_parameter>> parse_query(std::string_view query);
/// A job's id in a path: 1 to 2^63-1 in decimal, without leading zeros.
std::optional<job_id> parse_id(std::string_view text);

} // namespace troupe::http
