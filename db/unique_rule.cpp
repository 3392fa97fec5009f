#include "db/unique_rule.hpp"

#include <string_view>

namespace troupe::db {

namespace {

void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out += "\\u00";
      out += hex[byte >> 4U];
      out += hex[byte & 15U];
      continue;
    }
    if (c == '"' || c == '\\')
      out += '\\';
    out += c;
  }
  out += '"';
}

template<class Texts, class Name>
void append_array(std::string& out, std::string_view key, const Texts& texts, Name name) {
  out += key;
  char before = '[';
  for (const auto& text : texts) {
    out += before;
    append_string(out, name(text));
    before = ',';
  }
  out += ']';
}

} // namespace

std::string unique_json(const unique_rule& rule) {
  std::string out = "{\"on_conflict\":";
  append_string(out, to_string(rule.conflict));
  if (rule.queue)
    out += ",\"queue\":true";
  if (rule.args)
    out += ",\"args\":true";
  else if (!rule.fields.empty())
    append_array(out, ",\"args\":", rule.fields, [](std::string_view field) { return field; });
  if (rule.period)
    out += ",\"period_ms\":" + std::to_string(rule.period->count());
  if (!rule.states.empty())
    append_array(out, ",\"states\":", rule.states,
                 [](job_state state) { return to_string(state); });
  out += '}';
  return out;
}

} // namespace troupe::db
