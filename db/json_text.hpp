// Texts for the JSON that functions of the schema take.
#pragma once

#include "messages/job.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::db {

/// Appends it as a JSON string, with its quotes. UTF-8 goes through as it is.
void append_json_text(std::string& out, std::string_view text);

/// In UTC; the years 0 to 9999.
std::string json_time(timestamp time);

/// An object, member by member.
class object_text {
public:
  object_text& text(std::string_view name, std::string_view value) {
    append_json_text(begin(name), value);
    return *this;
  }
  object_text& raw(std::string_view name, std::string_view json) {
    begin(name) += json;
    return *this;
  }
  object_text& texts(std::string_view name, const std::vector<std::string>& values);
  /// What is given of the filter.
  object_text& filter(const job_filter& filter);
  std::string take() { return std::move(out_) + '}'; }

private:
  std::string& begin(std::string_view name) {
    out_ += out_.size() > 1 ? ",\"" : "\"";
    out_ += name;
    out_ += "\":";
    return out_;
  }

  std::string out_ = "{";
};

} // namespace troupe::db
