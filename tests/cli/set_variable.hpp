// An environment variable for one test.
#pragma once

#include <cstdlib>
#include <string>

namespace troupe::tests {

class set_variable {
public:
  set_variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  set_variable(const set_variable&) = delete;
  set_variable& operator=(const set_variable&) = delete;
  ~set_variable() { ::unsetenv(name_); }

private:
  const char* name_;
};

} // namespace troupe::tests
