// A statement with its parameters, ready for a connection. All parameters travel in binary with
// explicit types, so a NUL in a text is refused by the server and not silently cut. A value: copy
// and move it freely. A connection refuses more than max_bytes of parameters.
#pragma once

#include "db/statement.hpp"
#include "messages/job.hpp"

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace troupe::db {

/// PostgreSQL's type numbers (pg_type.oid), fixed for ever for built-in types.
namespace oid {
constexpr unsigned boolean = 16, bytea = 17, name = 19, int8 = 20, int2 = 21, int4 = 23, text = 25,
                   json = 114, float8 = 701, varchar = 1043, timestamptz = 1184, jsonb = 3802;
constexpr unsigned boolean_array = 1000, name_array = 1003, int2_array = 1005, int4_array = 1007,
                   text_array = 1009, varchar_array = 1015, int8_array = 1016,
                   timestamptz_array = 1185, jsonb_array = 3807;
} // namespace oid

class query {
public:
  static constexpr std::size_t max_bytes = 256 * 1024 * 1024;
  /// The protocol counts parameters in 16 bits.
  static constexpr std::size_t max_parameters = 65'535;

  /// `what` has static storage, or outlives the query and all results of it.
  explicit query(const statement& what) : what_(not_owned(what)) {}
  explicit query(const statement&&) = delete;
  explicit query(const dynamic_statement& what) : what_(what.get()) {}

  query& bind(std::int64_t value);
  query& bind(std::int32_t value);
  query& bind(std::int16_t value);
  query& bind(bool value);
  query& bind(double value);
  query& bind(std::string_view text);
  /// A null pointer is SQL NULL.
  query& bind(const char* text);
  query& bind(const std::string& text) { return bind(std::string_view{text}); }
  query& bind(timestamp value);
  /// A pointer would become a bool.
  template<class T>
  requires(!std::same_as<std::remove_cv_t<T>, char>) query& bind(T*) = delete;

  /// NULL of T's type when empty.
  template<class T>
  query& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null<T>();
  }
  template<class T>
  query& bind_null() {
    return null(oid_of<T>());
  }
  /// `text` is JSON; the server parses it.
  query& bind_jsonb(std::string_view text);
  template<class Text>
  query& bind_jsonb(const std::optional<Text>& text) {
    return text ? bind_jsonb(std::string_view{*text}) : null(oid::jsonb);
  }
  query& bind_bytes(std::string_view bytes); ///< bytea

  query& bind(const std::vector<std::int64_t>& values);
  query& bind(const std::vector<std::int32_t>& values);
  query& bind(const std::vector<std::int16_t>& values);
  query& bind(const std::vector<bool>& values);
  query& bind(const std::vector<std::string>& texts);
  query& bind(const std::vector<timestamp>& values);
  query& bind(const std::vector<std::optional<std::int64_t>>& values);
  query& bind(const std::vector<std::optional<std::int32_t>>& values);
  query& bind(const std::vector<std::optional<timestamp>>& values);
  /// text[] in which "" stands for a NULL element.
  query& bind_text_array(const std::vector<std::string>& texts);
  /// jsonb[] in which "" stands for a NULL element.
  query& bind_jsonb_array(const std::vector<std::string>& texts);

  /// How long the server may work on it, in place of what the statement or the connection allows.
  /// It then shares a transaction with the settings, so what refuses to run inside of one (VACUUM)
  /// cannot have a time of its own. 0: as the statement says.
  query& timeout(std::chrono::milliseconds limit);
  /// 0: as the connection says.
  std::chrono::milliseconds timeout() const;
  /// Another number of changed rows is answered errc::stale. What was changed stands, unless the
  /// transaction is rolled back.
  query& expect_affected(std::uint64_t count);
  std::optional<std::uint64_t> expected() const { return expected_; }

  /// The same parameters for another statement.
  query with_statement(const dynamic_statement& other) const {
    query made = *this;
    made.what_ = other.get();
    return made;
  }

  const statement& what() const { return *what_; }
  const statement_ptr& what_ptr() const { return what_; }
  std::size_t size() const { return oids_.size(); }
  std::size_t bytes() const { return buffer_.size(); }

  /// The parameters as libpq takes them; pointers live until the query changes, moves or dies.
  struct wire_view {
    std::vector<const char*> values;
    std::vector<int> formats;
  };
  wire_view parameters() const;
  const std::vector<unsigned>& oids() const { return oids_; }
  const std::vector<int>& lengths() const { return lengths_; }

private:
  template<class T>
  static constexpr unsigned oid_of();
  query& null(unsigned oid);
  query& finish(unsigned oid, std::size_t begin);
  template<class Values>
  query& array(unsigned array_oid, unsigned oid, const Values& values);

  statement_ptr what_;
  std::string buffer_; ///< all values, one after the other
  std::vector<unsigned> oids_;
  std::vector<int> lengths_;         ///< -1 is NULL
  std::vector<std::size_t> offsets_; ///< into buffer_
  std::chrono::milliseconds timeout_{0};
  std::optional<std::uint64_t> expected_;
};

template<class T>
constexpr unsigned query::oid_of() {
  if constexpr (std::same_as<T, std::int64_t>)
    return oid::int8;
  else if constexpr (std::same_as<T, std::int32_t>)
    return oid::int4;
  else if constexpr (std::same_as<T, std::int16_t>)
    return oid::int2;
  else if constexpr (std::same_as<T, bool>)
    return oid::boolean;
  else if constexpr (std::same_as<T, double>)
    return oid::float8;
  else if constexpr (std::same_as<T, timestamp>)
    return oid::timestamptz;
  else if constexpr (std::same_as<T, std::vector<std::int64_t>>)
    return oid::int8_array;
  else if constexpr (std::same_as<T, std::vector<std::int32_t>>)
    return oid::int4_array;
  else if constexpr (std::same_as<T, std::vector<std::int16_t>>)
    return oid::int2_array;
  else if constexpr (std::same_as<T, std::vector<bool>>)
    return oid::boolean_array;
  else if constexpr (std::same_as<T, std::vector<std::string>>)
    return oid::text_array;
  else if constexpr (std::same_as<T, std::vector<timestamp>>)
    return oid::timestamptz_array;
  else {
    static_assert(std::is_convertible_v<T, std::string_view>, "no SQL type for this");
    return oid::text;
  }
}

} // namespace troupe::db
