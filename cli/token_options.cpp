// What options say about tokens: where one is required, which one is shown, and the commands that
// make them; see command_line.hpp.
#include "cli/choice.hpp"
#include "cli/command_line.hpp"
#include "cli/settings.hpp"
#include "cli/text.hpp"
#include "messages/token.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace troupe::cli {

namespace {

constexpr std::size_t longest_token = 4096;

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  names.reserve(token_roles.size());
  for (const auto each : token_roles)
    names.emplace_back(to_string(each));
  return names;
}

/// The first line; what is no token is not told again, since it may be a secret all the same.
std::string checked_token(std::string text, const std::string& from) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
    text.pop_back();
  const bool sound =
      !text.empty() && text.size() <= longest_token
      && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!sound)
    throw std::invalid_argument(from + " holds no token: it must be one word");
  return text;
}

std::string read_token_file(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  std::string text(longest_token + 3, '\0');
  if (!file.is_open() || !file.read(text.data(), static_cast<std::streamsize>(text.size())).eof())
    throw std::invalid_argument("--token-file: '" + printable(path) + "' cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return checked_token(std::move(text), "--token-file: '" + printable(path) + "'");
}

} // namespace

void command_line::add_token_file(CLI::App* app) {
  sources_.bind(app,
                app->add_option("--token-file", token_file_,
                                "A file with nothing but the token; without one the variable "
                                "TROUPE_TOKEN has it")
                    ->type_name("FILE"),
                "TROUPE_TOKEN_FILE", "");
}

void command_line::add_required_tokens(CLI::App* app) {
  env(app,
      app->add_flag("--require-tokens", out_.engine.require_tokens,
                    "Answer only who shows a token, see 'troupe tokens'"),
      "TROUPE_REQUIRE_TOKENS");
}

void command_line::add_tokens() {
  auto* tokens = app_.add_subcommand(
      "tokens", "Who may ask a server; with --database straight in the database");
  tokens->require_subcommand(1);
  const auto about = [&](command what, const char* name, const char* description) {
    auto* app = add(*tokens, what, name, description);
    add_database(app);
    add_client(app);
    return app;
  };
  auto* create = about(command::tokens_create, "create", "Make a token; prints its secret, once");
  create->add_option("--name", out_.token.name, "Who has it")->required();
  create->add_option("--role", token_role_, "What it may do")
      ->required()
      ->check(one_of(role_names()));
  list(create->add_option("--queue", out_.token.queues,
                          "It may act on this queue only (repeatable)"));
  create->add_option("--expires-in", token_life_, "It ends after this time, such as 30d")
      ->type_name("TIME");
  about(command::tokens_list, "list", "All tokens, oldest first; never their secrets")->alias("ls");
  about(command::tokens_revoke, "revoke", "Let a token open nothing any more")
      ->add_option("id", out_.ids, "The token's number")
      ->required()
      ->expected(1);
}

void command_line::finish_client() {
  if (chosen()->get_option_no_throw("--token-file") == nullptr)
    return;
  if (out_.client.url.empty())
    throw std::invalid_argument("--url is empty; name a server, such as http://127.0.0.1:8080");
  const auto& ca_file = out_.client.ca_file;
  if (!ca_file.empty() && !std::ifstream{ca_file}.is_open())
    throw std::invalid_argument("--ca-file: '" + printable(ca_file) + "' cannot be read");
  const char* variable = std::getenv("TROUPE_TOKEN");
  if (!token_file_.empty())
    out_.client.token = read_token_file(token_file_);
  else if (variable != nullptr && *variable != '\0')
    out_.client.token = checked_token(variable, "TROUPE_TOKEN");
}

void command_line::finish_new_token() {
  auto& token = out_.token;
  if (!is_valid_name(token.name))
    throw std::invalid_argument("--name: a name is 1 to 128 of A-Z a-z 0-9 . _ : -");
  check_names(token.queues);
  token.may = parse_role(token_role_).value();
  if (token.may == role::admin && !token.queues.empty())
    throw std::invalid_argument("--queue: an admin's token is for all queues");
  if (token.queues.size() > limits::token_queues)
    throw std::invalid_argument("--queue: a token is for " + std::to_string(limits::token_queues)
                                + " queues at most");
  if (token_life_.empty())
    return;
  const auto life = read_duration(token_life_);
  if (life < std::chrono::milliseconds{1} || life > limits::max_token_life)
    throw std::invalid_argument("--expires-in: at least 1ms, and at most 87600h");
  token.valid_for = life;
}

} // namespace troupe::cli
