#include "cli/config_file.hpp"

#include "cli/text.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace troupe::cli {

namespace {

constexpr std::size_t longest_file = 1 << 20;

/// Walks over the text once.
class reader {
public:
  explicit reader(std::string_view text) : text_(text) {}

  std::vector<config_entry> all() {
    while (skip_to_content()) {
      if (peek() == '[')
        read_table();
      else
        read_entry();
      end_line();
    }
    return std::move(entries_);
  }

private:
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\n' : text_[at_]; }
  char take() {
    const char c = peek();
    ++at_;
    line_ += c == '\n' ? 1 : 0;
    return c;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("line " + std::to_string(line_) + ": " + what);
  }

  void skip_blanks() {
    while (!done() && (peek() == ' ' || peek() == '\t' || peek() == '\r'))
      take();
  }
  void skip_comment() {
    if (peek() == '#')
      while (!done() && peek() != '\n')
        take();
  }
  /// Blank lines and comments; false at the end.
  bool skip_to_content() {
    do {
      skip_blanks();
      skip_comment();
    } while (!done() && peek() == '\n' && take());
    return !done();
  }
  void end_line() {
    skip_blanks();
    skip_comment();
    if (peek() != '\n')
      fail("'" + rest() + "' stands behind the value; texts stand in quotes");
    take();
  }
  std::string rest() const {
    const auto end = std::min(text_.find('\n', at_), text_.size());
    return printable(text_.substr(at_, std::min<std::size_t>(end - at_, 40)));
  }

  static bool is_bare(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  }
  std::string read_name() {
    skip_blanks();
    const auto begin = at_;
    while (!done() && is_bare(peek()))
      take();
    if (begin == at_)
      fail("a key was expected, not '" + rest() + "'");
    auto name = std::string{text_.substr(begin, at_ - begin)};
    skip_blanks();
    return name;
  }

  void read_table() {
    take();
    table_ = read_name();
    if (peek() != ']')
      fail("[" + table_ + " has no closing bracket");
    take();
  }

  void read_entry() {
    config_entry entry;
    entry.line = line_;
    entry.key = (table_.empty() ? "" : table_ + ".") + read_name();
    if (peek() != '=')
      fail(entry.key + " has no value; write " + entry.key + " = ...");
    take();
    skip_blanks();
    if (peek() == '[')
      read_list(entry.values);
    else
      entry.values.push_back(read_value());
    if (!seen_.insert(entry.key).second)
      fail(entry.key + " is there twice");
    entries_.push_back(std::move(entry));
  }

  void read_list(std::vector<std::string>& into) {
    take();
    for (;;) {
      if (!skip_to_content())
        fail("a list has no closing bracket");
      if (peek() == ']')
        break;
      into.push_back(read_value());
      if (!skip_to_content())
        fail("a list has no closing bracket");
      if (peek() == ',')
        take();
      else if (peek() != ']')
        fail("a comma or the end of the list was expected, not '" + rest() + "'");
    }
    take();
  }

  std::string read_value() {
    if (peek() == '"' || peek() == '\'')
      return read_text(take());
    const auto begin = at_;
    while (!done() && (is_bare(peek()) || peek() == '+'))
      take();
    auto word = std::string{text_.substr(begin, at_ - begin)};
    const bool number = !word.empty() && word.find_first_not_of("+-.0123456789_") == word.npos;
    if (number)
      word.erase(std::remove(word.begin(), word.end(), '_'), word.end());
    if (!number && word != "true" && word != "false") {
      at_ = begin;
      fail("'" + rest() + "' is no number, true or false; texts stand in quotes");
    }
    return word;
  }

  std::string read_text(char quote) {
    std::string out;
    while (peek() != quote) {
      if (peek() == '\n')
        fail("a text has no closing quote");
      const char c = take();
      out += c == '\\' && quote == '"' ? escaped() : c;
    }
    take();
    return out;
  }
  char escaped() {
    switch (const char c = take()) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '"':
    case '\\':
      return c;
    default:
      fail("only \\\\, \\\", \\n and \\t are understood in a text; in single quotes a backslash "
           "is one");
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::string table_;
  std::set<std::string> seen_;
  std::vector<config_entry> entries_;
};

} // namespace

std::vector<config_entry> read_config(const std::string& text) {
  return reader{text}.all();
}

std::vector<config_entry> read_config_file(const std::string& path) {
  std::ifstream file{path};
  std::string text(longest_file + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof()))
    throw std::invalid_argument(printable(path) + " cannot be read: " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > longest_file)
    throw std::invalid_argument(printable(path) + " is larger than 1 MiB");
  try {
    return read_config(text);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(printable(path) + ", " + e.what());
  }
}

} // namespace troupe::cli
