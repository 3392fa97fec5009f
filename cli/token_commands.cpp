// tokens: HTTP to a running server, or straight on a database that was named.
#include "cli/commands.hpp"
#include "cli/http_client.hpp"
#include "cli/job_view.hpp"
#include "cli/queue_view.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"
#include "cli/token_view.hpp"
#include "launcher/token_admin.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace troupe::cli {

namespace {

constexpr int page = 500;

bool on_database(const invocation& wanted) {
  return !wanted.engine.database_url.empty();
}

http_client server_of(const invocation& wanted) {
  return http_client{wanted.client};
}

std::string body_of(const create_token& what) {
  nlohmann::ordered_json body{{"name", what.name}, {"role", to_string(what.may)}};
  if (!what.queues.empty())
    body["queues"] = what.queues;
  if (what.valid_for)
    body["expires_in_ms"] = what.valid_for->count();
  return body.dump();
}

std::int64_t number_of(const std::string& id) {
  std::int64_t out = 0;
  std::from_chars(id.data(), id.data() + id.size(), out);
  return out;
}

std::string next_page(const invocation& wanted, http_client& server, const std::string& after) {
  if (on_database(wanted))
    return list_tokens_of(wanted.engine, {number_of(after), page});
  return server.request("GET", "/api/v1/tokens?limit=" + std::to_string(page) + "&after=" + after)
      .body;
}

} // namespace

exit_code run_tokens_create(const invocation& wanted) {
  exit_on_interrupt();
  auto server = server_of(wanted);
  const auto made = on_database(wanted)
                        ? create_token_in(wanted.engine, wanted.token)
                        : server.request("POST", "/api/v1/tokens", body_of(wanted.token)).body;
  if (wanted.json) {
    print(printable_json(made) + "\n");
    return exit_code::ok;
  }
  print(printable(secret_of(made)) + "\n");
  tell("keep it: it is not shown again");
  return exit_code::ok;
}

exit_code run_tokens_list(const invocation& wanted) {
  exit_on_interrupt();
  auto server = server_of(wanted);
  auto rows = tokens_table();
  std::string after = "0";
  std::string all;
  do {
    const auto answer = next_page(wanted, server, after);
    if (wanted.json) {
      const auto list = raw_member(answer, "tokens");
      if (list.size() < 2)
        throw command_error(exit_code::failed, "the server's answer holds no list of tokens");
      const auto elements = printable_json(list.substr(1, list.size() - 2));
      all += (all.empty() || elements.empty() ? "" : ",") + elements;
    } else {
      add_tokens(rows, answer);
      print(rows.take());
    }
    after = next_queue(answer);
  } while (!after.empty());
  if (wanted.json)
    print("{\"tokens\":[" + all + "],\"next\":null}\n");
  return exit_code::ok;
}

exit_code run_tokens_revoke(const invocation& wanted) {
  exit_on_interrupt();
  auto server = server_of(wanted);
  const auto& id = wanted.ids.front();
  const auto revoked = on_database(wanted)
                           ? revoke_token_in(wanted.engine, number_of(id))
                           : server.request("POST", "/api/v1/tokens/" + id + "/revoke", "{}").body;
  print(wanted.json ? printable_json(revoked) + "\n" : token_details(revoked));
  return exit_code::ok;
}

} // namespace troupe::cli
