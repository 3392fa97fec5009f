#include "launcher/token_admin.hpp"

#include "db/ask_once.hpp"
#include "db/token_statements.hpp"
#include "http/bearer_token.hpp"
#include "http/json_tokens.hpp"
#include "launcher/database_options.hpp"
#include "messages/engine_error.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <variant>

namespace troupe {

namespace {

/// As it is written down (docs/security.md).
const asker by_the_database{"database", std::nullopt, {}};

db::result ask(const engine_options& where, const db::query& what) {
  check_database_options(where);
  try {
    return db::ask_once(connect_options_of(where.database_url, where.database, "troupe tokens"),
                        what);
  } catch (const db::db_error& e) {
    throw refused_by(e);
  }
}

http::bearer_token new_secret(create_token& into) {
  auto secret = http::bearer_token::make();
  into.hint = secret.hint();
  into.hash = secret.hash();
  return secret;
}

/// Of a live admin, if the file has one.
bool opens_everything(engine& node, const std::filesystem::path& file) {
  std::string text;
  std::ifstream{file} >> text;
  const auto token = http::bearer_token::parse(text);
  struct ::stat found {};
  if (!token || ::stat(file.c_str(), &found) != 0 || (found.st_mode & 077) != 0)
    return false;
  const auto reply = node.ask(find_token{token->hash()});
  if (const auto* failed = std::get_if<failure>(&reply);
      failed != nullptr && failed->code != errc::not_found)
    throw engine_error(*failed);
  const auto* known = std::get_if<found_token>(&reply);
  return known != nullptr && known->standing == token_standing::live && known->may == role::admin;
}

[[noreturn]] void cannot_write(const std::filesystem::path& file) {
  throw engine_error(errc::internal, "the token cannot be written to " + file.string() + ": "
                                         + std::strerror(errno));
}

void write_whole(const std::filesystem::path& file, const std::string& text) {
  auto part = file;
  part += ".part";
  ::unlink(part.c_str()); // of a start that was cut short
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    cannot_write(part);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size())
                       && ::fsync(fd) == 0;
  const int why = errno;
  ::close(fd);
  errno = why;
  if (written && ::rename(part.c_str(), file.c_str()) == 0)
    return;
  const int kept = errno;
  ::unlink(part.c_str());
  errno = kept;
  cannot_write(file);
}

} // namespace

std::string create_token_in(const engine_options& where, create_token what) {
  const auto secret = new_secret(what);
  what.by = by_the_database;
  return http::made_token_json(db::decode_token(ask(where, db::create_token_query(what))),
                               secret.secret());
}

std::string list_tokens_of(const engine_options& where, const list_tokens& what) {
  return http::tokens_json(db::decode_tokens(ask(where, db::tokens_query(what)), what));
}

std::string revoke_token_in(const engine_options& where, std::int64_t id) {
  std::string out;
  http::append_token(out,
                     db::decode_token(ask(where, db::revoke_token_query({id, by_the_database}))));
  return out;
}

void keep_token_file(engine& node, const std::filesystem::path& file) {
  if (opens_everything(node, file))
    return;
  std::error_code ignored; // what is wrong shows when it is written
  std::filesystem::create_directories(file.parent_path(), ignored);
  create_token what;
  what.name = "dev";
  what.may = role::admin;
  const auto secret = new_secret(what);
  what.by = by_the_database;
  const auto reply = node.ask(what);
  if (const auto* failed = std::get_if<failure>(&reply))
    throw engine_error(*failed);
  write_whole(file, secret.secret() + "\n");
}

} // namespace troupe
