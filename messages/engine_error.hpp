// What the embedding API throws: a sentence that says what to do, and the code behind it.
#pragma once

#include "messages/errc.hpp"

#include <stdexcept>
#include <string>

namespace troupe {

class engine_error : public std::runtime_error {
public:
  engine_error(errc code, const std::string& what) : std::runtime_error(what), code_(code) {}
  explicit engine_error(const failure& why)
      : engine_error(why.code, why.detail.empty() ? to_string(why.code) : why.detail) {}
  errc code() const { return code_; }

private:
  errc code_;
};

} // namespace troupe
