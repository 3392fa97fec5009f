#include "cli/token_view.hpp"

#include "cli/answer.hpp"
#include "cli/exit_code.hpp"
#include "cli/job_view.hpp"

namespace troupe::cli {

namespace {

std::string queues_of(const json& token) {
  const auto queues = token.find("queues");
  if (queues == token.end() || !queues->is_array())
    return "all";
  std::string out;
  for (const auto& each : *queues)
    if (each.is_string())
      out += (out.empty() ? "" : ",") + each.get<std::string>();
  return out;
}

std::string time_of(const json& token, const char* name, const char* none) {
  const auto time = field(token, name);
  return time.empty() ? none : short_time(time);
}

void add_token(table& to, const json& token) {
  const auto used = field(token, "last_used_on");
  to.add({field(token, "id"), field(token, "name"), field(token, "hint"), field(token, "role"),
          queues_of(token), field(token, "state"), time_of(token, "expires_at", "never"),
          used.empty() ? "never" : used});
}

} // namespace

table tokens_table() {
  return table({{"ID", true},
                {"NAME"},
                {"HINT"},
                {"ROLE"},
                {"QUEUES"},
                {"STATE"},
                {"EXPIRES"},
                {"LAST USED"}});
}

void add_tokens(table& to, std::string_view answer) {
  const auto page = read_object(answer);
  const auto tokens = page.find("tokens");
  if (tokens == page.end() || !tokens->is_array())
    throw command_error(exit_code::failed, "the server's answer holds no list of tokens");
  for (const auto& token : *tokens)
    if (token.is_object())
      add_token(to, token);
}

std::string token_details(std::string_view answer) {
  auto one = tokens_table();
  add_token(one, read_object(answer));
  return one.take();
}

std::string secret_of(std::string_view answer) {
  auto secret = field(read_object(answer), "secret");
  if (secret.empty())
    throw command_error(exit_code::failed, "the server's answer holds no token");
  return secret;
}

} // namespace troupe::cli
