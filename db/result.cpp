#include "db/result.hpp"

#include "db/query.hpp"
#include "db/wire.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

namespace troupe::db {

namespace {

constexpr unsigned text_types[] = {oid::text, oid::varchar, oid::name,
                                   oid::json, oid::jsonb,   oid::bytea};
constexpr unsigned text_array_types[] = {oid::text_array, oid::varchar_array, oid::name_array,
                                         oid::jsonb_array};

std::string type_name(unsigned type) {
  static constexpr std::pair<unsigned, const char*> names[] = {
      {oid::boolean, "boolean"},
      {oid::bytea, "bytea"},
      {oid::name, "name"},
      {oid::int8, "bigint"},
      {oid::int2, "smallint"},
      {oid::int4, "integer"},
      {oid::text, "text"},
      {oid::json, "json"},
      {oid::float8, "double precision"},
      {oid::varchar, "varchar"},
      {oid::timestamptz, "timestamptz"},
      {oid::jsonb, "jsonb"},
      {oid::boolean_array, "boolean[]"},
      {oid::name_array, "name[]"},
      {oid::int2_array, "smallint[]"},
      {oid::int4_array, "integer[]"},
      {oid::text_array, "text[]"},
      {oid::varchar_array, "varchar[]"},
      {oid::int8_array, "bigint[]"},
      {oid::timestamptz_array, "timestamptz[]"},
      {oid::jsonb_array, "jsonb[]"},
      {700, "real"},
      {1700, "numeric"},
      {2950, "uuid"},
      {1114, "timestamp without time zone"},
      {1186, "interval"},
      {5069, "xid8"},
      {2278, "void"},
  };
  for (const auto& [number, text] : names)
    if (number == type)
      return text;
  return "the type with oid " + std::to_string(type);
}

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

std::optional<std::string_view> row::bytes(int column, const unsigned* oids,
                                           std::size_t count) const {
  bool null = is_null(column);
  const auto* raw = rows_.raw_.get();
  auto type = PQftype(raw, column);
  std::span accepted{oids, count};
  if (std::find(accepted.begin(), accepted.end(), type) == accepted.end())
    fail(column, "is " + type_name(type) + ", read as " + type_name(oids[0]));
  if (PQfformat(raw, column) != 1)
    fail(column, "came in text format");
  if (null)
    return std::nullopt;
  return std::string_view{PQgetvalue(raw, index_, column),
                          static_cast<std::size_t>(PQgetlength(raw, index_, column))};
}

namespace {

/// Walks over a binary array of one dimension: each(bytes) per element, false when it is malformed,
/// has another shape or NULL elements.
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
    each(array.substr(0, size));
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
  static constexpr unsigned scalar = oid::float8;
};
template<>
struct sql_type<timestamp> {
  static constexpr unsigned scalar = oid::timestamptz;
};

template<class T>
T from_wire(const char* raw) {
  if constexpr (std::same_as<T, bool>)
    return raw[0] != '\0';
  else if constexpr (std::same_as<T, double>)
    return std::bit_cast<double>(wire::get_int<std::int64_t>(raw));
  else if constexpr (std::same_as<T, timestamp>)
    return wire::from_postgres(wire::get_int<std::int64_t>(raw));
  else
    return wire::get_int<T>(raw);
}

} // namespace

template<class T>
std::optional<T> row::read_fixed(int column) const {
  constexpr unsigned type = sql_type<T>::scalar;
  auto raw = bytes(column, &type, 1);
  if (!raw)
    return std::nullopt;
  if (raw->size() != sizeof(T))
    fail(column, "has the wrong length");
  return from_wire<T>(raw->data());
}

template<class T>
std::optional<std::vector<T>> row::read_array(int column) const {
  constexpr unsigned type = sql_type<T>::array;
  auto raw = bytes(column, &type, 1);
  if (!raw)
    return std::nullopt;
  std::vector<T> values;
  if (!each_element(*raw, sizeof(T), [&values](std::string_view each) {
        values.push_back(from_wire<T>(each.data()));
      }))
    fail(column, array_shape);
  return values;
}

template<>
std::optional<std::string_view> row::read<std::string_view>(int column) const {
  auto raw = bytes(column, text_types, std::size(text_types));
  if (!raw || PQftype(rows_.raw_.get(), column) != oid::jsonb)
    return raw;
  if (raw->empty() || raw->front() != wire::jsonb_version)
    fail(column, "is jsonb of an unknown version");
  return raw->substr(1);
}

template<>
std::optional<std::string> row::read<std::string>(int column) const {
  auto text = read<std::string_view>(column);
  return text ? std::optional<std::string>{*text} : std::nullopt;
}

template<>
std::optional<std::vector<std::string>> row::read<std::vector<std::string>>(int column) const {
  auto raw = bytes(column, text_array_types, std::size(text_array_types));
  if (!raw)
    return std::nullopt;
  std::size_t skip = PQftype(rows_.raw_.get(), column) == oid::jsonb_array ? 1 : 0;
  std::vector<std::string> values;
  bool whole = each_element(*raw, 0, [&values, skip](std::string_view each) {
    values.emplace_back(each.substr(std::min(skip, each.size())));
  });
  if (!whole)
    fail(column, array_shape);
  return values;
}

template<class T>
std::optional<T> row::read(int column) const {
  if constexpr (requires { typename T::allocator_type; })
    return read_array<typename T::value_type>(column);
  else
    return read_fixed<T>(column);
}

template std::optional<std::int64_t> row::read<std::int64_t>(int) const;
template std::optional<std::int32_t> row::read<std::int32_t>(int) const;
template std::optional<std::int16_t> row::read<std::int16_t>(int) const;
template std::optional<bool> row::read<bool>(int) const;
template std::optional<double> row::read<double>(int) const;
template std::optional<timestamp> row::read<timestamp>(int) const;
template std::optional<std::vector<std::int64_t>> row::read<std::vector<std::int64_t>>(int) const;
template std::optional<std::vector<std::int32_t>> row::read<std::vector<std::int32_t>>(int) const;
template std::optional<std::vector<std::int16_t>> row::read<std::vector<std::int16_t>>(int) const;
template std::optional<std::vector<bool>> row::read<std::vector<bool>>(int) const;

} // namespace troupe::db
