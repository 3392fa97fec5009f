// What becomes of a command line: taken, or refused with exit code 2.
#pragma once

#include "cli/options.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::tests {

inline cli::invocation good(std::vector<std::string> arguments) {
  auto parsed = cli::parse(std::move(arguments));
  if (const auto* refused = std::get_if<cli::refusal>(&parsed))
    BOOST_FAIL(refused->text);
  return std::get<cli::invocation>(std::move(parsed));
}

/// What it says.
inline std::string bad(std::vector<std::string> arguments) {
  auto parsed = cli::parse(std::move(arguments));
  const auto* refused = std::get_if<cli::refusal>(&parsed);
  BOOST_REQUIRE(refused != nullptr);
  BOOST_TEST(static_cast<int>(refused->code) == 2);
  return refused->text;
}

} // namespace troupe::tests
