// Rows as a statement gave them. Immutable, shared on copy, safe to read from any thread. Reading a
// column checks its SQL type against the C++ type: nothing is rounded or cut, no NULL is read
// unless std::optional was asked for. A mismatch throws decode_error.
#pragma once

#include "db/statement.hpp"
#include "messages/engine_error.hpp"
#include "messages/job.hpp"

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pg_result; // libpq's PGresult

namespace troupe::db {

/// Names the statement and the column. Its code is errc::invalid_argument.
class decode_error : public engine_error {
public:
  explicit decode_error(const std::string& what) : engine_error(errc::invalid_argument, what) {}
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
  friend class copied_rows;
  std::shared_ptr<const pg_result> raw_;
  std::shared_ptr<const pg_result> completion_;
  statement_ptr what_;
};

/// One row. Keeps the whole result alive, so string_views into it live as long as any row or
/// result.
class row {
public:
  /// T, or std::optional of it, and what it reads:
  ///   int16, int32, int64     smallint, integer, bigint; int64 a numeric, too, that is one exactly
  ///   float, double           real; double precision, real, and a numeric whose digits it can hold
  ///   bool                    boolean
  ///   timestamp               timestamptz, and timestamp as UTC
  ///   std::chrono::sys_days   date
  ///   std::string             text, varchar, char(n), name, json, jsonb, xml, bytea, enums; and as
  ///                           the server writes them numeric, uuid, date, time, timestamp(tz) in
  ///                           UTC, interval
  ///   std::string_view        of these what is text already: into the result
  ///   std::vector             arrays of one dimension without NULL elements: of int16, int32,
  ///                           int64, double, bool, timestamp, and of std::string of any of its
  ///                           types but enums
  template<class T>
  T get(int column) const;
  bool is_null(int column) const;

private:
  friend class result;
  row(result rows, int index) : rows_(std::move(rows)), index_(index) {}
  /// A column's type and its bytes, which are nothing when it is NULL.
  struct field {
    unsigned type;
    std::optional<std::string_view> bytes;
  };
  [[noreturn]] void fail(int column, std::string_view why) const;
  [[noreturn]] void refuse(int column, unsigned type, unsigned wanted) const;
  field at(int column) const;
  std::optional<std::string_view> bytes(int column, unsigned wanted, unsigned or_else = 0) const;
  std::optional<std::string> text(int column, const field& from) const;
  template<class T>
  std::optional<T> read(int column) const;
  template<class T>
  std::optional<T> read_number(int column) const;
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
    is_one_of<T, std::int64_t, std::int32_t, std::int16_t, bool, double, float, std::string,
              std::string_view, timestamp, std::chrono::sys_days, std::vector<std::int64_t>,
              std::vector<std::int32_t>, std::vector<std::int16_t>, std::vector<bool>,
              std::vector<double>, std::vector<timestamp>, std::vector<std::string>>;
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
