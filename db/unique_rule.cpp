#include "db/unique_rule.hpp"

#include "db/json_text.hpp"

#include <string_view>

namespace troupe::db {

namespace {

template<class Texts, class Name>
void append_array(std::string& out, std::string_view key, const Texts& texts, Name name) {
  out += key;
  char before = '[';
  for (const auto& text : texts) {
    out += before;
    append_json_text(out, name(text));
    before = ',';
  }
  out += ']';
}

} // namespace

std::string unique_json(const unique_rule& rule) {
  std::string out = "{\"on_conflict\":";
  append_json_text(out, to_string(rule.conflict));
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
