#include "db/literals.hpp"

#include "db/wire.hpp"

#include <libpq-fe.h>

#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

namespace troupe::db {

namespace {

/// What a literal cannot hold; the message is for the caller.
struct refused {
  std::string why;
};

struct type {
  unsigned number;
  const char* name;
  unsigned element; ///< 0: not an array
};
constexpr std::array types{
    type{oid::boolean, "boolean", 0},
    type{oid::bytea, "bytea", 0},
    type{oid::int8, "bigint", 0},
    type{oid::int4, "integer", 0},
    type{oid::int2, "smallint", 0},
    type{oid::text, "text", 0},
    type{oid::float8, "double precision", 0},
    type{oid::timestamptz, "timestamptz", 0},
    type{oid::jsonb, "jsonb", 0},
    type{oid::boolean_array, "boolean[]", oid::boolean},
    type{oid::int8_array, "bigint[]", oid::int8},
    type{oid::int4_array, "integer[]", oid::int4},
    type{oid::int2_array, "smallint[]", oid::int2},
    type{oid::text_array, "text[]", oid::text},
    type{oid::timestamptz_array, "timestamptz[]", oid::timestamptz},
    type{oid::jsonb_array, "jsonb[]", oid::jsonb},
};

const type& type_of(unsigned number) {
  for (const auto& each : types)
    if (each.number == number)
      return each;
  throw refused{"no literal is known for the type with oid " + std::to_string(number)};
}

std::string quoted(pg_conn* for_whom, std::string_view text) {
  // libpq would stop there without a word.
  if (text.find('\0') != std::string_view::npos)
    throw refused{"a text contains a NUL byte"};
  std::unique_ptr<char, void (*)(void*)> literal{
      PQescapeLiteral(for_whom, text.data(), text.size()), PQfreemem};
  if (!literal)
    throw refused{"a text is not valid UTF-8"};
  return literal.get();
}

std::string text_of(double value) {
  if (std::isnan(value))
    return "NaN";
  if (std::isinf(value))
    return value < 0 ? "-Infinity" : "Infinity";
  std::array<char, 32> buffer{};
  auto [end, problem] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end};
}

std::string text_of(timestamp value) {
  using namespace std::chrono;
  if (value == timestamp::min())
    return "-infinity";
  if (value == timestamp::max())
    return "infinity";
  const auto day = floor<days>(value);
  const year_month_day date{day};
  if (value < sys_days{year{1} / 1 / 1} || value >= sys_days{year{10'000} / 1 / 1})
    throw refused{"a time lies outside of the years 1 to 9999"};
  const hh_mm_ss clock{value - day};
  std::array<char, 48> buffer{};
  const int size = std::snprintf(
      buffer.data(), buffer.size(), "%04d-%02u-%02u %02d:%02d:%02d.%06d+00",
      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
      static_cast<int>(clock.subseconds().count()));
  return {buffer.data(), static_cast<std::size_t>(size)};
}

std::string hexadecimal(std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text = "\\x";
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    text += {digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

/// A value as PostgreSQL would print it.
std::string printed(unsigned number, std::string_view bytes) {
  switch (number) {
  case oid::boolean:
    return bytes[0] ? "true" : "false";
  case oid::int2:
    return std::to_string(wire::get_int<std::int16_t>(bytes.data()));
  case oid::int4:
    return std::to_string(wire::get_int<std::int32_t>(bytes.data()));
  case oid::int8:
    return std::to_string(wire::get_int<std::int64_t>(bytes.data()));
  case oid::float8:
    return text_of(std::bit_cast<double>(wire::get_int<std::int64_t>(bytes.data())));
  case oid::timestamptz:
    return text_of(wire::from_postgres(wire::get_int<std::int64_t>(bytes.data())));
  case oid::bytea:
    return hexadecimal(bytes);
  case oid::jsonb:
    return std::string{bytes.substr(1)};
  default:
    return std::string{bytes};
  }
}

std::string literal(pg_conn* for_whom, unsigned number, std::optional<std::string_view> bytes);

/// The binary form is our own, made by query.
std::string array_literal(pg_conn* for_whom, const type& what, std::string_view bytes) {
  constexpr std::size_t header = 20, length_size = 4;
  std::string text = "array[";
  for (auto at = header; at < bytes.size();) {
    const auto length = wire::get_int<std::int32_t>(bytes.data() + at);
    at += length_size;
    text += at == header + length_size ? "" : ",";
    if (length < 0) {
      text += literal(for_whom, what.element, std::nullopt);
      continue;
    }
    text += literal(for_whom, what.element, bytes.substr(at, static_cast<std::size_t>(length)));
    at += static_cast<std::size_t>(length);
  }
  return text + "]::" + what.name;
}

std::string literal(pg_conn* for_whom, unsigned number, std::optional<std::string_view> bytes) {
  const auto& what = type_of(number);
  if (!bytes)
    return std::string{"null::"} + what.name;
  if (what.element != 0)
    return array_literal(for_whom, what, *bytes);
  return quoted(for_whom, printed(number, *bytes)) + "::" + what.name;
}

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & '\x80') != 0;
}

/// Walks over a statement's text, from one parameter to the next.
class scanner {
public:
  explicit scanner(std::string_view text) : text_(text) {}

  /// The number of the next parameter; at its dollar is begin(), behind it end().
  std::optional<std::size_t> next_parameter() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      const bool inside_name = at_ > 0 && in_name(text_[at_ - 1]);
      if (c == '\'')
        skip_string(is_escape_string());
      else if (c == '"')
        skip_to("\"", 1);
      else if (rest().starts_with("--"))
        skip_to("\n", 2);
      else if (rest().starts_with("/*"))
        skip_comment();
      else if (c == '$' && !inside_name) {
        if (auto number = parameter())
          return number;
        skip_dollar_quoted();
      }
    }
    return std::nullopt;
  }
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return at_; }

private:
  std::string_view rest() const { return text_.substr(at_); }

  /// Onto the last character of `end`, looked for from `from` characters on.
  void skip_to(std::string_view end, std::size_t from) {
    const auto found = text_.find(end, at_ + from);
    at_ = found == std::string_view::npos ? text_.size() : found + end.size() - 1;
  }
  bool is_escape_string() const {
    return at_ > 0 && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E')
           && (at_ < 2 || !in_name(text_[at_ - 2]));
  }
  void skip_string(bool escapes) {
    // A doubled quote ends one string and begins the next, which is as good.
    for (++at_; at_ < text_.size() && text_[at_] != '\''; ++at_)
      if (escapes && text_[at_] == '\\')
        ++at_;
  }
  void skip_comment() {
    int depth = 0;
    for (; at_ < text_.size(); ++at_) {
      if (rest().starts_with("/*")) {
        ++depth;
        ++at_;
      } else if (rest().starts_with("*/")) {
        ++at_;
        if (--depth == 0)
          return;
      }
    }
  }
  std::optional<std::size_t> parameter() {
    std::size_t number = 0;
    const auto* first = text_.data() + at_ + 1;
    auto [last, problem] = std::from_chars(first, text_.data() + text_.size(), number);
    if (problem != std::errc{})
      return std::nullopt;
    begin_ = at_;
    at_ += 1 + static_cast<std::size_t>(last - first);
    return number;
  }
  void skip_dollar_quoted() {
    auto end = at_ + 1;
    while (end < text_.size() && text_[end] != '$' && in_name(text_[end]))
      ++end;
    if (end < text_.size() && text_[end] == '$')
      skip_to(text_.substr(at_, end + 1 - at_), end + 1 - at_);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t begin_ = 0;
};

} // namespace

std::variant<std::string, db_failure> with_literals(pg_conn* for_whom, const query& what) {
  const std::string_view text = what.what().text;
  const auto parameters = what.parameters();
  std::string composed;
  std::size_t copied = 0;
  scanner scan{text};
  try {
    while (auto number = scan.next_parameter()) {
      if (*number == 0 || *number > what.size())
        throw refused{"there is no parameter $" + std::to_string(*number)};
      const auto index = *number - 1;
      std::optional<std::string_view> bytes;
      if (parameters.values[index])
        bytes = std::string_view{parameters.values[index],
                                 static_cast<std::size_t>(what.lengths()[index])};
      composed += text.substr(copied, scan.begin() - copied);
      composed += literal(for_whom, what.oids()[index], bytes);
      copied = scan.end();
    }
  } catch (const refused& reason) {
    db_failure why;
    why.code = errc::invalid_argument;
    why.statement = what.what().name;
    why.message = reason.why;
    return why;
  }
  composed += text.substr(copied);
  return composed;
}

} // namespace troupe::db
