#include "db/result.hpp"

#include "db/query.hpp"
#include "db/text_values.hpp"
#include "db/wire.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace troupe::db {

namespace {

std::shared_ptr<const pg_result> owned(pg_result* raw) {
  return {raw, [](const pg_result* p) { PQclear(const_cast<pg_result*>(p)); }};
}

} // namespace

result::result(pg_result* raw, statement_ptr what)
    : raw_(owned(raw)), completion_(raw_), what_(std::move(what)) {}

result::result(pg_result* rows, pg_result* completion, statement_ptr what)
    : raw_(owned(rows)), completion_(owned(completion)), what_(std::move(what)) {}

int result::rows() const {
  return raw_ ? PQntuples(raw_.get()) : 0;
}

int result::columns() const {
  return raw_ ? PQnfields(raw_.get()) : 0;
}

int result::column(std::string_view name) const {
  for (int i = 0; i < columns(); ++i)
    if (name == PQfname(raw_.get(), i))
      return i;
  throw decode_error(std::string{statement_name()} + ": there is no column '" + std::string{name}
                     + "'");
}

const char* result::statement_name() const {
  return what_ ? what_->name : "";
}

std::string_view result::command_tag() const {
  // libpq takes it for writable, yet only reads.
  return completion_ ? PQcmdStatus(const_cast<pg_result*>(completion_.get())) : std::string_view{};
}

std::uint64_t result::affected() const {
  if (!completion_ || command_tag().starts_with("SELECT"))
    return 0;
  std::string_view text = PQcmdTuples(const_cast<pg_result*>(completion_.get()));
  std::uint64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

row result::operator[](int index) const {
  if (index < 0 || index >= rows())
    throw decode_error(std::string{"statement "} + statement_name() + " has no row "
                       + std::to_string(index) + ", it gave " + std::to_string(rows()));
  return {*this, index};
}

row result::one() const {
  if (rows() != 1)
    throw decode_error(std::string{"statement "} + statement_name() + " gave "
                       + std::to_string(rows()) + " rows where one was expected");
  return {*this, 0};
}

void row::fail(int column, std::string_view why) const {
  std::string text = "column ";
  text += std::to_string(column);
  if (column >= 0 && column < rows_.columns()) {
    text += " (";
    text += PQfname(rows_.raw_.get(), column);
    text += ')';
  }
  text += " of statement ";
  text += rows_.statement_name();
  text += ' ';
  text += why;
  throw decode_error(text);
}

bool row::is_null(int column) const {
  if (column < 0 || column >= rows_.columns())
    fail(column, "does not exist");
  return PQgetisnull(rows_.raw_.get(), index_, column) != 0;
}

void row::refuse(int column, unsigned type, unsigned wanted) const {
  auto why = "is " + type_name(type) + ", read as " + type_name(wanted);
  if (wanted == oid::text)
    why += "; cast it to text in the SQL";
  fail(column, why);
}

row::field row::at(int column) const {
  const bool null = is_null(column);
  const auto* raw = rows_.raw_.get();
  field found{PQftype(raw, column), std::nullopt};
  if (PQfformat(raw, column) != 1)
    fail(column, "came in text format");
  if (!null)
    found.bytes = {PQgetvalue(raw, index_, column),
                   static_cast<std::size_t>(PQgetlength(raw, index_, column))};
  return found;
}

std::optional<std::string_view> row::bytes(int column, unsigned wanted, unsigned or_else) const {
  const auto found = at(column);
  if (found.type != wanted && found.type != or_else)
    refuse(column, found.type, wanted);
  return found.bytes;
}

std::optional<std::string> row::text(int column, const field& from) const {
  if (!from.bytes)
    return std::nullopt;
  auto text = text_of(from.type, *from.bytes);
  if (!text)
    fail(column, "is no value of type " + type_name(from.type));
  return text;
}

namespace {

/// Walks over a binary array of one dimension: each(type, bytes) per element, false when that says
/// so, when it is malformed, has another shape or NULL elements.
template<class Each>
bool each_element(std::string_view array, std::size_t fixed_size, Each each) {
  constexpr std::size_t header = 12, dimension = 8;
  if (array.size() < header)
    return false;
  auto dimensions = wire::get_int<std::int32_t>(array.data());
  if (dimensions == 0)
    return true;
  if (dimensions != 1 || array.size() < header + dimension)
    return false;
  const auto type = wire::get_int<std::uint32_t>(array.data() + 8);
  auto count = wire::get_int<std::int32_t>(array.data() + header);
  array.remove_prefix(header + dimension);
  for (std::int32_t i = 0; i < count; ++i) {
    if (array.size() < sizeof(std::int32_t))
      return false;
    auto length = wire::get_int<std::int32_t>(array.data());
    array.remove_prefix(sizeof(std::int32_t));
    if (length < 0 || static_cast<std::size_t>(length) > array.size())
      return false;
    auto size = static_cast<std::size_t>(length);
    if (fixed_size != 0 && size != fixed_size)
      return false;
    if (!each(type, array.substr(0, size)))
      return false;
    array.remove_prefix(size);
  }
  return true;
}

constexpr const char* array_shape = "is not an array of one dimension without NULL elements";

template<class T>
struct sql_type;
template<>
struct sql_type<std::int64_t> {
  static constexpr unsigned scalar = oid::int8, array = oid::int8_array;
};
template<>
struct sql_type<std::int32_t> {
  static constexpr unsigned scalar = oid::int4, array = oid::int4_array;
};
template<>
struct sql_type<std::int16_t> {
  static constexpr unsigned scalar = oid::int2, array = oid::int2_array;
};
template<>
struct sql_type<bool> {
  static constexpr unsigned scalar = oid::boolean, array = oid::boolean_array;
};
template<>
struct sql_type<double> {
  static constexpr unsigned scalar = oid::float8, array = oid::float8_array;
};
template<>
struct sql_type<float> {
  static constexpr unsigned scalar = oid::float4;
};
template<>
struct sql_type<timestamp> {
  static constexpr unsigned scalar = oid::timestamptz, or_else = oid::timestamp,
                            array = oid::timestamptz_array;
};
template<>
struct sql_type<std::chrono::sys_days> {
  static constexpr unsigned scalar = oid::date;
};

template<class T>
constexpr std::size_t wire_size = sizeof(T);
template<>
constexpr std::size_t wire_size<std::chrono::sys_days> = 4;

template<class T>
T from_wire(const char* raw) {
  if constexpr (std::same_as<T, bool>)
    return raw[0] != '\0';
  else if constexpr (std::same_as<T, double>)
    return std::bit_cast<double>(wire::get_int<std::int64_t>(raw));
  else if constexpr (std::same_as<T, float>)
    return std::bit_cast<float>(wire::get_int<std::int32_t>(raw));
  else if constexpr (std::same_as<T, timestamp>)
    return wire::from_postgres(wire::get_int<std::int64_t>(raw));
  else if constexpr (std::same_as<T, std::chrono::sys_days>)
    return wire::days_from_postgres(wire::get_int<std::int32_t>(raw));
  else
    return wire::get_int<T>(raw);
}

bool is_array_of_texts(unsigned type) {
  static constexpr unsigned known[] = {
      oid::text_array,         oid::varchar_array,     oid::name_array,    oid::jsonb_array,
      oid::blank_padded_array, oid::numeric_array,     oid::uuid_array,    oid::date_array,
      oid::timestamp_array,    oid::timestamptz_array, oid::interval_array};
  return std::find(std::begin(known), std::end(known), type) != std::end(known);
}

} // namespace

template<class T>
std::optional<std::vector<T>> row::read_array(int column) const {
  auto raw = bytes(column, sql_type<T>::array);
  if (!raw)
    return std::nullopt;
  std::vector<T> values;
  if (!each_element(*raw, wire_size<T>, [&values](unsigned, std::string_view each) {
        values.push_back(from_wire<T>(each.data()));
        return true;
      }))
    fail(column, array_shape);
  return values;
}

/// A numeric that says the same as a T.
template<class T>
std::optional<T> row::read_number(int column) const {
  const auto written = text(column, at(column));
  if (!written)
    return std::nullopt;
  std::optional<T> value;
  if constexpr (std::same_as<T, double>)
    value = exact_double(*written);
  else
    value = exact_integer(*written);
  if (!value)
    fail(column, "is a numeric that " + type_name(sql_type<T>::scalar)
                     + " does not hold exactly; read it as std::string, or round it in the SQL");
  return value;
}

template<>
std::optional<std::string> row::read<std::string>(int column) const {
  const auto found = at(column);
  if (!has_text(found.type, PQfsize(rows_.raw_.get(), column)))
    refuse(column, found.type, oid::text);
  return text(column, found);
}

template<>
std::optional<std::string_view> row::read<std::string_view>(int column) const {
  const auto found = at(column);
  if (!is_text(found.type, PQfsize(rows_.raw_.get(), column)))
    refuse(column, found.type, oid::text);
  if (!found.bytes)
    return std::nullopt;
  if (found.type == oid::jsonb && !text_of(found.type, *found.bytes))
    fail(column, "is jsonb of an unknown version");
  return found.bytes->substr(found.type == oid::jsonb ? 1 : 0);
}

template<>
std::optional<std::vector<std::string>> row::read<std::vector<std::string>>(int column) const {
  const auto found = at(column);
  if (!is_array_of_texts(found.type))
    refuse(column, found.type, oid::text_array);
  if (!found.bytes)
    return std::nullopt;
  std::vector<std::string> values;
  if (!each_element(*found.bytes, 0, [&values](unsigned type, std::string_view each) {
        auto text = text_of(type, each);
        if (!text)
          return false;
        values.push_back(*std::move(text));
        return true;
      }))
    fail(column, array_shape);
  return values;
}

template<class T>
std::optional<T> row::read(int column) const {
  if constexpr (requires { typename T::allocator_type; }) {
    return read_array<typename T::value_type>(column);
  } else {
    const auto found = at(column);
    using type = sql_type<T>;
    if constexpr (std::same_as<T, double> || std::same_as<T, std::int64_t>)
      if (found.type == oid::numeric)
        return read_number<T>(column);
    if constexpr (std::same_as<T, double>)
      if (found.type == oid::float4)
        return read<float>(column);
    unsigned or_else = 0;
    if constexpr (requires { type::or_else; })
      or_else = type::or_else;
    const auto raw = bytes(column, type::scalar, or_else);
    if (!raw)
      return std::nullopt;
    if (raw->size() != wire_size<T>)
      fail(column, "has the wrong length");
    return from_wire<T>(raw->data());
  }
}

template std::optional<std::int64_t> row::read<std::int64_t>(int) const;
template std::optional<std::int32_t> row::read<std::int32_t>(int) const;
template std::optional<std::int16_t> row::read<std::int16_t>(int) const;
template std::optional<bool> row::read<bool>(int) const;
template std::optional<double> row::read<double>(int) const;
template std::optional<float> row::read<float>(int) const;
template std::optional<timestamp> row::read<timestamp>(int) const;
template std::optional<std::chrono::sys_days> row::read<std::chrono::sys_days>(int) const;
template std::optional<std::vector<std::int64_t>> row::read<std::vector<std::int64_t>>(int) const;
template std::optional<std::vector<std::int32_t>> row::read<std::vector<std::int32_t>>(int) const;
template std::optional<std::vector<std::int16_t>> row::read<std::vector<std::int16_t>>(int) const;
template std::optional<std::vector<bool>> row::read<std::vector<bool>>(int) const;
template std::optional<std::vector<double>> row::read<std::vector<double>>(int) const;
template std::optional<std::vector<timestamp>> row::read<std::vector<timestamp>>(int) const;

} // namespace troupe::db
