// A request straight to its route's handler, without a connection.
#pragma once

#include "http/router.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string_view>
#include <utility>
#include <variant>

namespace troupe::tests {

/// The answer to what is asked of `target`, with its query; `with` says what else is known of the
/// request.
inline http::response routed_call(http::router& table, http::method verb, std::string_view target,
                                  http::request_view with) {
  const auto question = target.find('?');
  auto matched = table.match(verb, target.substr(0, question));
  if (auto* refused = std::get_if<http::response>(&matched))
    return *refused;
  auto& found = std::get<http::route_match>(matched);
  with.verb = verb;
  with.path = target.substr(0, question);
  with.query = question == std::string_view::npos ? "" : target.substr(question + 1);
  with.param = found.param;
  std::optional<http::response> out;
  found.found->handle(with, [&](http::response answer) { out = std::move(answer); });
  BOOST_REQUIRE(out);
  return *out;
}

} // namespace troupe::tests
