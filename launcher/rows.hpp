// What a session's query gives: rows read as C++ types, each column checked against its SQL type.
// One type reads a value, several a std::tuple. Shared on copy, safe to read from any thread.
#pragma once

#include "db/result.hpp"
#include "messages/engine_error.hpp"

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace troupe {

class rows {
public:
  rows() = default;
  explicit rows(db::result from) : from_(std::move(from)) {}

  int size() const { return from_.rows(); }
  bool empty() const { return from_.empty(); }
  /// Rows inserted, updated or deleted.
  std::uint64_t affected() const { return from_.affected(); }
  const db::result& raw() const { return from_; }

  // What a column is read as: see db::row::get. A type that does not fit throws db::decode_error,
  // which is an engine_error, too.
  /// The only row. engine_error: errc::not_found without one, errc::conflict with several.
  template<class... T>
  auto one() const {
    if (from_.rows() > 1)
      throw engine_error(errc::conflict, std::to_string(from_.rows()) + " rows where one was due");
    if (from_.empty())
      throw engine_error(errc::not_found, "no row where one was due");
    return read<T...>(0);
  }
  /// The only row or nothing; errc::conflict with several.
  template<class... T>
  auto optional() const {
    using row = decltype(read<T...>(0));
    return from_.empty() ? std::optional<row>{} : std::optional<row>{one<T...>()};
  }
  template<class... T>
  auto all() const {
    std::vector<decltype(read<T...>(0))> out;
    out.reserve(static_cast<std::size_t>(from_.rows()));
    for (int i = 0; i < from_.rows(); ++i)
      out.push_back(read<T...>(i));
    return out;
  }

private:
  template<class... T>
  auto read(int index) const {
    static_assert(sizeof...(T) > 0, "name the types of the columns");
    if (from_.columns() != static_cast<int>(sizeof...(T)))
      throw engine_error(errc::invalid_argument, std::string{"statement "} + from_.statement_name()
                                                     + " gave " + std::to_string(from_.columns())
                                                     + " columns, read as "
                                                     + std::to_string(sizeof...(T)));
    const auto row = from_[index];
    if constexpr (sizeof...(T) == 1)
      return row.template get<T...>(0);
    else
      return columns<T...>(row, std::index_sequence_for<T...>{});
  }
  template<class... T, std::size_t... I>
  static std::tuple<T...> columns(const db::row& row, std::index_sequence<I...>) {
    return {row.get<T>(static_cast<int>(I))...};
  }

  db::result from_;
};

} // namespace troupe
