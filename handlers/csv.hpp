// CSV as RFC 4180 has it: comma, CRLF, quotes only where needed. Values are exact: a value that a
// spreadsheet would take for a formula is written as it is. Pure.
#pragma once

#include <string>
#include <string_view>

namespace troupe {

/// Appends one field; a comma first unless the row is empty so far.
class csv_row {
public:
  explicit csv_row(std::string& out) : out_(out) {}

  csv_row& field(std::string_view text) {
    if (!first_)
      out_ += ',';
    first_ = false;
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
      out_ += text;
      return *this;
    }
    out_ += '"';
    for (char c : text) {
      if (c == '"')
        out_ += '"';
      out_ += c;
    }
    out_ += '"';
    return *this;
  }
  csv_row& field(std::int64_t number) { return field(std::to_string(number)); }
  void end() { out_ += "\r\n"; }

private:
  std::string& out_;
  bool first_ = true;
};

} // namespace troupe
