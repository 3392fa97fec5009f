// Rows of a COPY in binary (as_copy), read as any other rows. COPY does not say what its columns
// are, so an answer without rows of the same statement has to. Belongs to one thread at a time.
#pragma once

#include "db/result.hpp"

#include <string_view>

namespace troupe::db {

class copied_rows {
public:
  explicit copied_rows(result columns) : columns_(std::move(columns)) {}

  /// Of one chunk, which is made of whole rows. Throws decode_error for anything else.
  result take(std::string_view chunk);

private:
  result columns_;
  bool begun_ = false;
};

} // namespace troupe::db
