// See router.hpp.
#include "http/router.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace troupe::http {

namespace {

constexpr std::size_t longest_path = 16; ///< segments
/// A query's parameter that may be there several times. Of any other the first could be the one
/// that is judged, and the second the one that is heeded.
constexpr std::string_view may_repeat = "tag";

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> out;
  path.remove_prefix(1);
  for (;;) {
    const auto slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos)
      return out;
    path.remove_prefix(slash + 1);
  }
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return std::nullopt;
}

/// Nothing for a broken escape or NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
      const auto low = high ? hex_digit(text[i + 2]) : std::nullopt;
      if (!low)
        return std::nullopt;
      out += static_cast<char>(*high * 16 + *low);
      i += 2;
    }
  }
  if (out.find('\0') != std::string::npos)
    return std::nullopt;
  return out;
}

bool is_parameter(std::string_view piece) {
  return piece.starts_with('{');
}

bool fits(const std::vector<std::string_view>& pattern, const std::vector<std::string>& path,
          std::string& param) {
  if (pattern.size() != path.size())
    return false;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (is_parameter(pattern[i]) && !path[i].empty())
      param = path[i];
    else if (pattern[i] != path[i])
      return false;
  }
  return true;
}

response refused(int status, std::string_view code, std::string detail) {
  return problem_response(make_problem(status, code, std::move(detail)));
}

response nothing_there() {
  return refused(404, "route_not_found",
                 "there is nothing at this path; /docs shows what there is");
}

void append_verb(std::string& allow, method verb) {
  allow += allow.empty() ? "" : ", ";
  allow += verb == method::get ? "GET, HEAD" : to_string(verb);
}

response options(std::string allow) {
  response out;
  out.status = 204;
  out.allow = std::move(allow);
  return out;
}

/// Before the handler: a query where there is none to be.
route_handler without_query(route_handler handle) {
  return [handle = std::move(handle)](const request_view& request, responder respond) {
    if (!request.query.empty())
      return respond(problem_response(
          make_problem(400, to_string(errc::invalid_argument), "this takes no query")));
    handle(request, std::move(respond));
  };
}

} // namespace

void router::add(route entry) {
  const auto fault = [&](const std::string& what) {
    throw std::logic_error("route " + std::string{entry.pattern} + ' ' + what);
  };
  if (!entry.pattern.starts_with('/') || !entry.handle)
    fault("has no path or no handler");
  if (entry.what.id.empty() || entry.what.tag.empty() || entry.what.summary.empty())
    fault("does not say what it is for");
  if (entry.body.schema.empty() != (entry.body.limit == 0))
    fault("has a body without a limit or a limit without a body");
  for (const auto& other : routes_) {
    if (other.verb == entry.verb && other.pattern == entry.pattern)
      fault("is added twice");
    if (other.what.id == entry.what.id)
      fault("has the id of another one");
  }
  if (entry.query.empty() && entry.pattern.starts_with("/api/"))
    entry.handle = without_query(std::move(entry.handle));
  known_.push_back({split(entry.pattern), routes_.size()});
  routes_.push_back(std::move(entry));
}

std::string router::all_verbs() const {
  std::string allow;
  for (const auto verb : {method::get, method::post, method::put, method::patch, method::del})
    if (std::any_of(routes_.begin(), routes_.end(), [&](const auto& r) { return r.verb == verb; }))
      append_verb(allow, verb);
  append_verb(allow, method::options);
  return allow;
}

std::variant<route_match, response> router::match(method verb, std::string_view path) const {
  if (path == "*") // of the whole server; the guard lets it through with OPTIONS only
    return options(all_verbs());
  std::vector<std::string> segments;
  const auto pieces = split(path);
  if (pieces.size() > longest_path)
    return nothing_there();
  segments.reserve(pieces.size());
  for (const auto piece : pieces) {
    auto segment = decode_segment(piece);
    if (!segment)
      return refused(400, "malformed_request",
                     "the path holds a dot segment or an escape that is not allowed");
    segments.push_back(*std::move(segment));
  }
  const auto wanted = verb == method::head ? method::get : verb;
  route_match out;
  std::string allow;
  for (const auto& candidate : known_) {
    if (!fits(candidate.segments, segments, out.param))
      continue;
    const auto& entry = routes_[candidate.index];
    if (entry.verb == wanted) {
      out.found = &entry;
      return out;
    }
    if (allow.find(to_string(entry.verb)) == std::string::npos)
      append_verb(allow, entry.verb);
  }
  if (allow.empty())
    return nothing_there();
  append_verb(allow, method::options);
  if (verb == method::options)
    return options(std::move(allow));
  auto out_of_table = refused(405, "method_not_allowed", "this path takes " + allow);
  out_of_table.allow = std::move(allow);
  return out_of_table;
}

std::optional<std::string> decode_segment(std::string_view text) {
  if (text.find('%') == std::string_view::npos) {
    if (text == "." || text == "..")
      return std::nullopt;
    return std::string{text};
  }
  auto out = percent_decode(text, false);
  if (!out || *out == "." || *out == ".." || out->find_first_of("/\\") != std::string::npos)
    return std::nullopt;
  return out;
}

std::optional<std::vector<query_parameter>> parse_query(std::string_view query) {
  std::vector<query_parameter> out;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto piece = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (piece.empty())
      continue;
    const auto equals = piece.find('=');
    auto name = percent_decode(piece.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? std::string{}
                                                  : percent_decode(piece.substr(equals + 1), true);
    const bool twice = name && *name != may_repeat
                       && std::any_of(out.begin(), out.end(),
                                      [&](const auto& other) { return other.name == *name; });
    if (!name || !value || twice)
      return std::nullopt;
    out.push_back({*std::move(name), *std::move(value)});
  }
  return out;
}

std::optional<job_id> parse_id(std::string_view text) {
  if (text.empty() || text.front() < '1' || text.front() > '9')
    return std::nullopt;
  job_id id;
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(text.data(), last, id.value);
  if (ec != std::errc{} || end != last)
    return std::nullopt;
  return id;
}

} // namespace troupe::http
