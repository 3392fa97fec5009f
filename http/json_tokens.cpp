#include "http/json_tokens.hpp"

#include "http/json_guard.hpp"
#include "http/route_answers.hpp"
#include "http/time_format.hpp"

#include <utility>

namespace troupe::http {

namespace {

using kind = json_value::kind;

constexpr std::string_view role_words = "must be viewer, producer, worker, operator or admin";

struct token_reader {
  create_token out;
  bool has_role = false;
  std::vector<field_error> errors;

  void fail(std::string pointer, std::string detail) {
    errors.push_back({std::move(pointer), std::move(detail)});
  }

  void read_role(const json_value& value) {
    const auto found = value.type == kind::string ? parse_role(value.text) : std::nullopt;
    has_role = true;
    if (found)
      out.may = *found;
    else
      fail("/role", std::string{role_words});
  }

  void read_queues(const json_value& value) {
    if (value.type != kind::array || value.members.empty()
        || value.members.size() > limits::token_queues)
      return fail("/queues",
                  "must be an array of 1 to " + std::to_string(limits::token_queues) + " names");
    for (std::size_t i = 0; i < value.members.size(); ++i) {
      const auto& each = value.members[i].value;
      if (each.type != kind::string || !is_valid_name(each.text))
        fail("/queues/" + std::to_string(i), "must be " + std::string{name_form});
      out.queues.push_back(each.text);
    }
  }

  void read_life(const json_value& value) {
    constexpr std::chrono::milliseconds most = limits::max_token_life;
    if (value.type != kind::integer || value.integer < 1 || value.integer > most.count())
      return fail("/expires_in_ms", "must be an integer from 1 to " + std::to_string(most.count()));
    out.valid_for = std::chrono::milliseconds{value.integer};
  }

  void read(const std::string& key, const json_value& value) {
    if (key == "name" && value.type == kind::string && is_valid_name(value.text))
      out.name = value.text;
    else if (key == "name")
      fail("/name", "must be " + std::string{name_form});
    else if (key == "role")
      read_role(value);
    else if (key == "queues")
      read_queues(value);
    else if (key == "expires_in_ms")
      read_life(value);
    else {
      std::string pointer;
      append_pointer(pointer, key);
      fail(pointer, "no such field; a token has name, role, queues and expires_in_ms");
    }
  }
};

} // namespace

std::variant<create_token, problem> read_token(std::string_view body) {
  json_limits most;
  most.depth = 4;
  auto document = read_json(body, most);
  if (auto* error = std::get_if<json_error>(&document))
    return malformed(std::move(*error), body);
  const auto& root = std::get<json_value>(document);
  if (root.type != kind::object)
    return invalid_fields({{"", "must be an object with name and role"}});
  token_reader reader;
  bool has_name = false;
  for (const auto& [key, value] : root.members) {
    has_name = has_name || key == "name";
    reader.read(key, value);
  }
  if (!has_name)
    reader.fail("/name", "is required");
  if (!reader.has_role)
    reader.fail("/role", "is required");
  if (reader.out.may == role::admin && !reader.out.queues.empty())
    reader.fail("/queues", "an admin's token is for all queues");
  if (!reader.errors.empty())
    return invalid_fields(std::move(reader.errors));
  return std::move(reader.out);
}

void append_token(std::string& out, const token_record& token) {
  out += "{\"id\":\"" + std::to_string(token.id) + "\",\"name\":";
  append_json_string(out, token.name);
  out += ",\"hint\":";
  append_json_string(out, token.hint);
  out += ",\"role\":\"";
  out += to_string(token.may);
  out += "\",\"queues\":";
  if (token.queues.empty())
    out += "null";
  for (std::size_t i = 0; i < token.queues.size(); ++i) {
    out += i == 0 ? '[' : ',';
    append_json_string(out, token.queues[i]);
  }
  out += token.queues.empty() ? ",\"state\":\"" : "],\"state\":\"";
  out += to_string(token.standing);
  out += "\",\"created_at\":";
  append_time_or_null(out, token.created_at);
  out += ",\"expires_at\":";
  append_time_or_null(out, token.expires_at);
  out += ",\"revoked_at\":";
  append_time_or_null(out, token.revoked_at);
  out += ",\"last_used_on\":";
  if (token.last_used_on)
    out += '"' + format_time(timestamp{*token.last_used_on}).substr(0, 10) + '"';
  else
    out += "null";
  out += '}';
}

std::string made_token_json(const token_record& token, const std::string& secret) {
  std::string out = "{\"token\":";
  append_token(out, token);
  out += ",\"secret\":";
  append_json_string(out, secret);
  return out + '}';
}

std::string tokens_json(const token_page& page) {
  std::string out = "{\"tokens\":[";
  for (const auto& token : page.tokens) {
    if (out.back() == '}')
      out += ',';
    append_token(out, token);
  }
  return out + "],\"next\":" + (page.next ? '"' + std::to_string(*page.next) + '"' : "null") + '}';
}

} // namespace troupe::http
