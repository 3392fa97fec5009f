#include "http/json_members.hpp"

#include "http/problem.hpp"
#include "http/time_format.hpp"

namespace troupe::http {

void append_name(std::string& out, std::string_view name) {
  out += out.back() == '{' ? "\"" : ",\"";
  out += name;
  out += "\":";
}

void append_text(std::string& out, std::string_view name, std::string_view text) {
  append_name(out, name);
  append_json_string(out, text);
}

void append_text_or_null(std::string& out, std::string_view name, std::string_view text) {
  if (!text.empty())
    return append_text(out, name, text);
  append_name(out, name);
  out += "null";
}

void append_number(std::string& out, std::string_view name, std::optional<std::int64_t> number) {
  append_name(out, name);
  out += number ? std::to_string(*number) : "null";
}

void append_time_of(std::string& out, std::string_view name, const std::optional<timestamp>& time) {
  append_name(out, name);
  append_time_or_null(out, time);
}

} // namespace troupe::http
