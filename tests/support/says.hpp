// Whether a text has a part; a check that fails shows the whole of it.
#pragma once

#include <boost/test/unit_test.hpp>

#include <string>

namespace troupe::tests {

inline bool says(const std::string& text, const std::string& part) {
  BOOST_TEST_INFO(text);
  return text.find(part) != std::string::npos;
}

} // namespace troupe::tests
