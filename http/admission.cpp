// See admission.hpp.
#include "http/admission.hpp"

#include <algorithm>
#include <utility>

namespace troupe::http {

namespace {

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

response refused(int status, std::string_view code, std::string detail) {
  return problem_response(make_problem(status, code, std::move(detail)));
}

bool is_loopback(std::string_view address) {
  return address == "::1" || address == "localhost" || address.starts_with("127.");
}

/// application/json, with no parameter but charset=utf-8.
bool is_json(std::string_view type) {
  const auto semicolon = type.find(';');
  auto essence = type.substr(0, semicolon);
  while (!essence.empty() && essence.back() == ' ')
    essence.remove_suffix(1);
  if (!iequals(essence, "application/json"))
    return false;
  if (semicolon == std::string_view::npos)
    return true;
  auto parameter = type.substr(semicolon + 1);
  while (!parameter.empty() && parameter.front() == ' ')
    parameter.remove_prefix(1);
  return iequals(parameter, "charset=utf-8") || iequals(parameter, "charset=\"utf-8\"");
}

bool changes(method verb) {
  return verb != method::get && verb != method::head && verb != method::options;
}

/// True when a browser says that another site's page made this request.
bool is_cross_site(const request_head& head, const framing& borders) {
  const auto site = head.field("sec-fetch-site");
  if (!site.empty())
    return !iequals(site, "same-origin") && !iequals(site, "none");
  auto origin = head.field("origin");
  if (origin.empty())
    return false;
  const auto scheme = origin.find("://");
  if (scheme == std::string_view::npos)
    return true; // `null`, or no origin at all
  origin.remove_prefix(scheme + 3);
  return !iequals(origin, borders.host);
}

} // namespace

admission_rules rules_for(const std::string& address, const std::set<std::string>& more) {
  admission_rules out;
  for (const auto& name : more)
    out.hosts.insert(lower(name));
  if (is_loopback(address)) {
    out.hosts.insert({"localhost", "127.0.0.1", "[::1]"});
    out.hosts.insert(address.find(':') == std::string::npos ? address : '[' + address + ']');
  }
  return out;
}

std::optional<response> admit(const request_head& head, const framing& borders, method verb,
                              const admission_rules& rules) {
  if (!rules.hosts.empty() && !rules.hosts.contains(lower(host_name(borders.host))))
    return refused(403, "host_not_allowed",
                   "this server does not answer to the host name of this request");
  if (changes(verb) && is_cross_site(head, borders))
    return refused(403, "cross_site_refused", "requests made by other sites' pages are refused");
  return std::nullopt;
}

std::optional<response> admit_during_drain(const route& wanted) {
  if (!changes(wanted.verb) || wanted.while_draining)
    return std::nullopt;
  return problem_response(to_problem(
      {errc::stopping, "this node is draining and changes nothing more; ask another one"}));
}

std::optional<response> admit_body(const route& wanted, const request_head& head,
                                   const framing& borders) {
  if (wanted.body.limit == 0)
    return std::nullopt; // a body is too large whatever it is
  const bool needs_type = wanted.body.required || borders.has_body();
  if (needs_type && !is_json(head.field("content-type")))
    return refused(415, "unsupported_media_type", "send Content-Type: application/json");
  if (!head.field("content-encoding").empty())
    return refused(415, "unsupported_media_type", "send the body without Content-Encoding");
  return std::nullopt;
}

} // namespace troupe::http
