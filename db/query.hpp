// A statement with its parameters, ready for a connection. All parameters travel in binary with
// explicit types, so a NUL in a text is refused by the server and not silently cut. A value: copy
// and move it freely. A connection refuses more than max_bytes of parameters.
#pragma once

#include "db/parameter.hpp"
#include "db/statement.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::db {

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
  query& bind(std::chrono::sys_days date);
  query& bind(json value) { return bind_jsonb(value.text); }
  query& bind(blob value) { return bind_bytes(value.data); }
  query& bind(std::span<const std::byte> value);
  /// NULL of whatever type the place asks for.
  query& bind(std::nullopt_t) { return null(oid::unspecified); }
  query& bind(std::nullptr_t) { return null(oid::unspecified); }
  /// As the smallest of smallint, integer and bigint that holds every value of T. Of 64 bits
  /// without a sign: bigint, and engine_error (errc::invalid_argument) for what that cannot hold.
  template<detail::integer T>
  query& bind(T value) {
    if (!std::in_range<detail::stored_as<T>>(value))
      refuse_number(std::to_string(value));
    return bind(static_cast<detail::stored_as<T>>(value));
  }
  template<detail::identity Id>
  query& bind(Id id) {
    return bind(id.value);
  }
  /// Any other clock's count is cut to microseconds.
  template<class Duration>
  query& bind(std::chrono::sys_time<Duration> value) {
    return bind(detail::as_timestamp(value));
  }
  /// An interval.
  template<class Rep, class Period>
  query& bind(std::chrono::duration<Rep, Period> value) {
    return bind_interval(std::chrono::duration_cast<std::chrono::microseconds>(value));
  }
  /// One letter is no number; write it as a text.
  template<detail::character T>
  query& bind(T) = delete;
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
    return null(detail::oid_of<T>());
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
  query& bind(const std::vector<double>& values);
  query& bind(const std::vector<std::string>& texts);
  query& bind(const std::vector<std::string_view>& texts);
  query& bind(const std::vector<timestamp>& values);
  template<detail::identity Id>
  query& bind(const std::vector<Id>& ids) {
    std::vector<std::int64_t> values;
    for (const auto id : ids)
      values.push_back(id.value);
    return bind(values);
  }
  query& bind(const std::vector<std::optional<std::int64_t>>& values);
  query& bind(const std::vector<std::optional<std::int32_t>>& values);
  query& bind(const std::vector<std::optional<double>>& values);
  query& bind(const std::vector<std::optional<timestamp>>& values);
  query& bind(const std::vector<std::optional<std::string>>& texts);
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
  [[noreturn]] void refuse_number(const std::string& value) const;
  query& bind_interval(std::chrono::microseconds value);
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

/// The user's own SQL with $1, $2, ... bound to `arguments`; named after its text.
template<class... Arguments>
query make_query(const std::string& sql, const Arguments&... arguments) {
  query made{dynamic_statement{sql}};
  (made.bind(arguments), ...);
  return made;
}

} // namespace troupe::db
