// What C++ values are to PostgreSQL: its numbers for types, and how a parameter's type is found at
// compile time. For query, which binds, and result, which reads.
#pragma once

#include "messages/job.hpp"

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ratio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace troupe::db {

/// PostgreSQL's type numbers (pg_type.oid), fixed for ever for built-in types.
namespace oid {
/// The server finds out the type of a parameter by itself.
constexpr unsigned unspecified = 0;
constexpr unsigned boolean = 16, bytea = 17, name = 19, int8 = 20, int2 = 21, int4 = 23, text = 25,
                   object = 26, json = 114, xml = 142, float4 = 700, float8 = 701, unknown = 705,
                   blank_padded = 1042, varchar = 1043, date = 1082, time = 1083, timestamp = 1114,
                   timestamptz = 1184, interval = 1186, numeric = 1700, uuid = 2950, jsonb = 3802;
constexpr unsigned boolean_array = 1000, name_array = 1003, int2_array = 1005, int4_array = 1007,
                   text_array = 1009, blank_padded_array = 1014, varchar_array = 1015,
                   int8_array = 1016, float8_array = 1022, timestamp_array = 1115,
                   date_array = 1182, timestamptz_array = 1185, interval_array = 1187,
                   numeric_array = 1231, uuid_array = 2951, jsonb_array = 3807;
} // namespace oid

/// Texts that are bound as another type than text.
struct json {
  std::string_view text; ///< jsonb; the server parses it
};
struct blob {
  std::string_view data; ///< bytea
};

namespace detail {
template<class T>
concept character = std::same_as<T, char> || std::same_as<T, wchar_t> || std::same_as<
    T, char8_t> || std::same_as<T, char16_t> || std::same_as<T, char32_t>;
template<class T>
concept integer = std::integral<T> && !std::same_as<T, bool> && !character<T>;
/// The signed type that holds all values of T; of 64 bits there is none larger.
template<integer T>
using stored_as = std::conditional_t<
    sizeof(T) == 8 || (sizeof(T) == 4 && std::unsigned_integral<T>), std::int64_t,
    std::conditional_t<sizeof(T) == 4 || (sizeof(T) == 2 && std::unsigned_integral<T>),
                       std::int32_t, std::int16_t>>;
template<class T>
concept identity = std::same_as<T, job_id> || std::same_as<T, node_id> || std::same_as<T, lease_id>;
template<class T>
constexpr bool is_duration = false;
template<class Rep, class Period>
constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;
template<class T>
constexpr bool is_time = false;
template<class Duration>
constexpr bool is_time<std::chrono::sys_time<Duration>> = true;
/// What a coarser count can say beyond our range is as far away as we can say.
template<class Duration>
timestamp as_timestamp(std::chrono::sys_time<Duration> value) {
  if constexpr (std::ratio_less_equal_v<std::micro, typename Duration::period>) {
    if (value > std::chrono::floor<Duration>(timestamp::max()))
      return timestamp::max();
    if (value < std::chrono::ceil<Duration>(timestamp::min()))
      return timestamp::min();
  }
  return std::chrono::floor<timestamp::duration>(value);
}

template<class T>
constexpr unsigned oid_of() {
  if constexpr (integer<T>)
    return sizeof(stored_as<T>) == 8   ? oid::int8
           : sizeof(stored_as<T>) == 4 ? oid::int4
                                       : oid::int2;
  else if constexpr (identity<T>)
    return oid::int8;
  else if constexpr (std::same_as<T, bool>)
    return oid::boolean;
  else if constexpr (std::floating_point<T>)
    return oid::float8;
  else if constexpr (std::same_as<T, std::chrono::sys_days>)
    return oid::date;
  else if constexpr (is_time<T>)
    return oid::timestamptz;
  else if constexpr (is_duration<T>)
    return oid::interval;
  else if constexpr (std::same_as<T, json>)
    return oid::jsonb;
  else if constexpr (std::same_as<T, blob> || std::same_as<T, std::vector<std::byte>>)
    return oid::bytea;
  else if constexpr (std::same_as<T, std::vector<std::int64_t>>)
    return oid::int8_array;
  else if constexpr (std::same_as<T, std::vector<std::int32_t>>)
    return oid::int4_array;
  else if constexpr (std::same_as<T, std::vector<std::int16_t>>)
    return oid::int2_array;
  else if constexpr (std::same_as<T, std::vector<bool>>)
    return oid::boolean_array;
  else if constexpr (std::same_as<T, std::vector<double>>)
    return oid::float8_array;
  else if constexpr (std::same_as<T, std::vector<std::string>>)
    return oid::text_array;
  else if constexpr (std::same_as<T, std::vector<timestamp>>)
    return oid::timestamptz_array;
  else {
    static_assert(std::is_convertible_v<T, std::string_view>, "no SQL type for this");
    return oid::text;
  }
}

} // namespace detail

} // namespace troupe::db
