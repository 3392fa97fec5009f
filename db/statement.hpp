// One SQL statement. Each file db/sql/NAME.sql is embedded at build time as a constant
// troupe::db::sql::NAME (generated header db/statements.hpp); the name is the prepared statement's
// name and the label in metrics and errors. Texts that are not the engine's own are made with
// dynamic_statement.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace troupe::db {

struct statement {
  const char* name;
  const char* text;
  /// How long the server may work on it. 0: as long as the connection allows.
  std::chrono::milliseconds timeout{0};
  /// It changes nothing: it may be asked again, and share a sync with others of its kind.
  bool reads = false;
  /// Prepared under its name on each connection that carries it out. False: a user's own.
  bool prepared = true;
  /// A word to the server that never takes long, as SAVEPOINT: in a group it is not waited for by
  /// itself.
  bool brief = false;
  /// Its answer may be large: it is read row by row, so that no more than one row above the limit
  /// is ever held. Each row costs an allocation or two.
  bool by_rows = false;
};

/// What queries, answers and the pipeline keep. Owns nothing for a statement of static storage.
using statement_ptr = std::shared_ptr<const statement>;

inline statement_ptr not_owned(const statement& what) {
  return {statement_ptr{}, &what};
}

/// What people are told of a text: its first 60 characters on one line.
std::string name_of(std::string_view sql);

/// A statement made at run time: the user's own SQL. A cheap copy; the text lives as long as any
/// copy, query or result of it. A connection that is sent it again may keep it prepared
/// (db/kept_statements.hpp).
class dynamic_statement {
public:
  explicit dynamic_statement(const std::string& text) : dynamic_statement(name_of(text), text) {}
  explicit dynamic_statement(std::string name, std::string text,
                             std::chrono::milliseconds timeout = {})
      : made_(std::make_shared<owned>(std::move(name), std::move(text), timeout)) {}

  statement_ptr get() const { return {made_, &made_->what}; }

  /// A name of our own making for a text that is prepared.
  static statement_ptr kept(std::string name) {
    const auto made =
        std::make_shared<owned>(std::move(name), std::string{}, std::chrono::milliseconds{}, true);
    return {made, &made->what};
  }

private:
  struct owned {
    owned(std::string called, std::string sql, std::chrono::milliseconds timeout,
          bool prepared = false)
        : name(std::move(called)), text(std::move(sql)), what{.name = name.c_str(),
                                                              .text = text.c_str(),
                                                              .timeout = timeout,
                                                              .prepared = prepared,
                                                              .by_rows = true} {}
    owned(const owned&) = delete;
    owned& operator=(const owned&) = delete;
    ~owned() = default;
    std::string name, text;
    statement what;
  };
  std::shared_ptr<const owned> made_;
};

} // namespace troupe::db
