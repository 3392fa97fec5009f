#include "db/page_query.hpp"

#include "db/statements.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::db {

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw engine_error(errc::invalid_argument, why);
}

/// As an identifier of SQL, whatever it contains.
std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"')
      out += '"';
    out += c;
  }
  return out + '"';
}

std::string_view sign(compare how) {
  switch (how) {
  case compare::equal:
    return " = ";
  case compare::not_equal:
    return " <> ";
  case compare::less:
    return " < ";
  case compare::at_most:
    return " <= ";
  case compare::greater:
    return " > ";
  case compare::at_least:
    return " >= ";
  }
  return " = ";
}

void bind_value(query& to, const page_value& value) {
  std::visit([&to](const auto& one) { to.bind(one); }, value);
}

/// Puts `part` where the form says `mark`.
void replace(std::string& text, std::string_view mark, const std::string& part) {
  text.replace(text.find(mark), mark.size(), part);
}

/// The same in every process: FNV-1a.
class hash {
public:
  hash& add(std::string_view text) {
    for (const char c : text)
      value_ = (value_ ^ static_cast<unsigned char>(c)) * 1'099'511'628'211U;
    value_ = (value_ ^ 0xffU) * 1'099'511'628'211U; // the end of a part
    return *this;
  }
  std::uint64_t value() const { return value_; }

private:
  std::uint64_t value_ = 14'695'981'039'346'656'037U;
};

std::string to_text(const page_value& value) {
  if (const auto* text = std::get_if<std::string>(&value))
    return *text;
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return std::to_string(*number);
  return std::to_string(std::get<timestamp>(value).time_since_epoch().count());
}

std::optional<page_value> from_text(column_type type, const std::string& text) {
  if (type == column_type::text)
    return text;
  std::int64_t number = 0;
  const auto* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr != end || text.empty())
    return std::nullopt;
  if (type == column_type::time)
    return timestamp{std::chrono::microseconds{number}};
  return number;
}

std::string hex(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4U];
    out += digits[static_cast<unsigned char>(c) & 15U];
  }
  return out;
}

std::optional<std::string> unhex(std::string_view text) {
  std::string out;
  if (text.size() % 2 != 0)
    return std::nullopt;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto* end = text.data() + i + 2;
    if (std::from_chars(text.data() + i, end, value, 16).ptr != end)
      return std::nullopt;
    out += static_cast<char>(value);
  }
  return out;
}

bool fits(column_type type, const page_value& value) {
  return value.index() == static_cast<std::size_t>(type);
}

} // namespace

page_query::page_query(query base, std::vector<page_column> columns)
    : base_(std::move(base)), columns_(std::move(columns)) {}

const page_column& page_query::column(std::string_view name) const {
  const auto found = std::find_if(columns_.begin(), columns_.end(),
                                  [name](const page_column& one) { return one.name == name; });
  if (found == columns_.end())
    refuse("there is no column '" + std::string{name} + "' to filter or sort by");
  return *found;
}

page_query& page_query::where(std::string_view name, compare how, page_value with) {
  const auto& known = column(name);
  if (!fits(known.type, with))
    refuse("column '" + known.name + "' is compared with a value of another type");
  conditions_.push_back({known, how, std::move(with)});
  return *this;
}

page_query& page_query::order_by(const std::vector<std::string>& keys, direction way) {
  keys_.clear();
  for (const auto& name : keys)
    keys_.push_back(column(name));
  way_ = way;
  return *this;
}

page_query& page_query::limit(int rows) {
  if (rows < 1 || rows > max_limit)
    refuse("limit: 1 to " + std::to_string(max_limit));
  limit_ = rows;
  return *this;
}

std::uint64_t page_query::fingerprint() const {
  hash all;
  all.add(base_.what().text).add(way_ == direction::ascending ? "up" : "down");
  for (const auto& key : keys_)
    all.add(key.name);
  for (const auto& one : conditions_)
    all.add(one.column.name).add(sign(one.how)).add(to_text(one.with));
  return all.value();
}

page_query& page_query::after(std::string_view cursor) {
  last_.clear();
  if (cursor.empty())
    return *this;
  const auto bytes = cursor.size() <= max_cursor ? unhex(cursor) : std::nullopt;
  if (!bytes)
    refuse("cursor: not one of ours");
  std::vector<std::string> parts; // the fingerprint, then the keys, each ended by a NUL
  for (std::size_t at = 0, end = 0; at < bytes->size(); at = end + 1) {
    end = std::min(bytes->find('\0', at), bytes->size());
    parts.push_back(bytes->substr(at, end - at));
  }
  if (parts.size() != keys_.size() + 1)
    refuse("cursor: not one of ours");
  if (parts[0] != std::to_string(fingerprint()))
    refuse("cursor: it belongs to another filter or order");
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    auto value = from_text(keys_[i].type, parts[i + 1]);
    if (!value)
      refuse("cursor: not one of ours");
    last_.push_back(*std::move(value));
  }
  return *this;
}

query page_query::build() const {
  if (keys_.empty())
    refuse("a page needs an order");
  query values = base_;
  const auto bound = [&values](const page_value& value) {
    bind_value(values, value);
    return "$" + std::to_string(values.size());
  };
  std::string conditions;
  for (const auto& one : conditions_)
    conditions += " and " + quoted(one.column.name) + std::string{sign(one.how)} + bound(one.with);
  std::string keys;
  std::string order;
  std::string places;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const auto* comma = i > 0 ? ", " : "";
    keys += comma + quoted(keys_[i].name);
    order += comma + quoted(keys_[i].name) + (way_ == direction::ascending ? " asc" : " desc");
    if (!last_.empty())
      places += comma + bound(last_[i]);
  }
  if (!last_.empty())
    conditions +=
        " and (" + keys + (way_ == direction::ascending ? ") > (" : ") < (") + places + ")";
  std::string text = sql::page.text;
  const auto rows = bound(std::int64_t{limit_});
  replace(text, "limit 1 /*rows*/", "limit " + rows);
  replace(text, "1 /*keys*/", order);
  replace(text, "/*conditions*/", conditions);
  const auto begin = text.find("/*query*/");
  const auto end = text.find("/*end*/") + std::string_view{"/*end*/"}.size();
  text.replace(begin, end - begin, std::string{base_.what().text} + "\n");
  return values.with_statement(dynamic_statement{base_.what().name, text});
}

std::optional<std::string> page_query::next(const result& page) const {
  if (page.rows() < limit_)
    return std::nullopt;
  const auto last = page[page.rows() - 1];
  auto bytes = std::to_string(fingerprint()) + '\0';
  for (const auto& key : keys_) {
    const int index = page.column(key.name);
    if (key.type == column_type::integer)
      bytes += to_text(last.get<std::int64_t>(index));
    else if (key.type == column_type::text)
      bytes += last.get<std::string>(index);
    else
      bytes += to_text(last.get<timestamp>(index));
    bytes += '\0';
  }
  return hex(bytes);
}

} // namespace troupe::db
