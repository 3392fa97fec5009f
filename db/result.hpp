// Rows as a statement gave them. Immutable, shared on copy, safe to read from any thread. Reading a
// column checks its SQL type against the C++ type exactly: no silent conversions, no NULL unless
// std::optional was asked for. A mismatch is a fault of ours and throws decode_error.
#pragma once

#include "db/statement.hpp"
#include "messages/job.hpp"

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pg_result; // libpq's PGresult

namespace troupe::db {

/// Names the statement and the column.
class decode_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

class row;

class result {
public:
  /// No rows, nothing affected.
  result() = default;
  /// Takes ownership of `raw`.
  result(pg_result* raw, statement_ptr what);
  /// Rows that were gathered from elsewhere; `completion` has the command tag. Owns both.
  result(pg_result* rows, pg_result* completion, statement_ptr what);

  int rows() const;
  int columns() const;
  /// The first column of that name; throws decode_error without one.
  int column(std::string_view name) const;
  bool empty() const { return rows() == 0; }
  /// Throws decode_error when there is no such row.
  row operator[](int index) const;
  /// The only row; throws decode_error when there is another number of them.
  row one() const;
  /// Rows that the statement inserted, updated or deleted; 0 for other statements.
  std::uint64_t affected() const;
  /// What the server says it did: "INSERT 0 1", "BEGIN". A COMMIT of a block that had failed
  /// succeeds and says "ROLLBACK".
  std::string_view command_tag() const;
  const char* statement_name() const;

private:
  friend class row;
  std::shared_ptr<const pg_result> raw_;
  std::shared_ptr<const pg_result> completion_;
  statement_ptr what_;
};

/// One row. Keeps the whole result alive, so string_views into it live as long as any row or
/// result.
class row {
public:
  /// T: int64, int32, int16, bool, double, std::string, std::string_view (text, varchar, name,
  /// json, jsonb, bytea), timestamp, std::vector of int64, int32, int16, bool or std::string (one
  /// dimension, no NULL elements), or std::optional of any of these.
  template<class T>
  T get(int column) const;
  bool is_null(int column) const;

private:
  friend class result;
  row(result rows, int index) : rows_(std::move(rows)), index_(index) {}
  [[noreturn]] void fail(int column, std::string_view why) const;
  /// The value's bytes, nothing when it is NULL; fails unless the column has one of these types.
  std::optional<std::string_view> bytes(int column, const unsigned* oids, std::size_t count) const;
  template<class T>
  std::optional<T> read(int column) const;
  template<class T>
  std::optional<T> read_fixed(int column) const;
  template<class T>
  std::optional<std::vector<T>> read_array(int column) const;

  result rows_;
  int index_;
};

namespace detail {
template<class T>
struct optional_value {};
template<class T>
struct optional_value<std::optional<T>> {
  using type = T;
};
template<class T, class... Ts>
constexpr bool is_one_of = (std::same_as<T, Ts> || ...);
template<class T>
concept readable =
    is_one_of<T, std::int64_t, std::int32_t, std::int16_t, bool, double, std::string,
              std::string_view, timestamp, std::vector<std::int64_t>, std::vector<std::int32_t>,
              std::vector<std::int16_t>, std::vector<bool>, std::vector<std::string>>;
} // namespace detail

template<class T>
T row::get(int column) const {
  if constexpr (requires { typename detail::optional_value<T>::type; }) {
    using value = typename detail::optional_value<T>::type;
    static_assert(detail::readable<value>, "no SQL type is read as this one");
    return read<value>(column);
  } else {
    static_assert(detail::readable<T>, "no SQL type is read as this one");
    auto value = read<T>(column);
    if (!value)
      fail(column, "is NULL, read without std::optional");
    return *std::move(value);
  }
}

} // namespace troupe::db
