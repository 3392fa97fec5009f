// PostgreSQL's binary formats: big-endian integers, its epoch, array headers. Shared by query
// (which writes) and result (which reads); nobody else needs it.
#pragma once

#include "messages/job.hpp"

#include <bit>
#include <concepts>
#include <cstring>
#include <limits>
#include <string>

namespace troupe::db::wire {

/// First byte of a jsonb value.
constexpr char jsonb_version = 1;

template<std::integral T>
void put_int(char* to, T value) {
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i)
    to[i] = static_cast<char>(static_cast<unsigned char>(bits >> (8 * (sizeof(T) - 1 - i))));
}

template<std::integral T>
void append_int(std::string& to, T value) {
  char bytes[sizeof(T)];
  put_int(bytes, value);
  to.append(bytes, sizeof(T));
}

template<std::integral T>
T get_int(const char* from) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bits = static_cast<std::make_unsigned_t<T>>((bits << 8) | static_cast<unsigned char>(from[i]));
  return static_cast<T>(bits);
}

/// PostgreSQL counts microseconds from 2000-01-01; the ends of the range are its infinities.
constexpr timestamp epoch = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};

inline std::int64_t to_postgres(timestamp value) {
  if (value == timestamp::min() || value == timestamp::max())
    return value.time_since_epoch().count();
  // Below this the subtraction would overflow; it is far below PostgreSQL's range anyway.
  if (value < timestamp::min() + epoch.time_since_epoch())
    return std::numeric_limits<std::int64_t>::min() + 1;
  return (value - epoch).count();
}

inline timestamp from_postgres(std::int64_t value) {
  if (value == std::numeric_limits<std::int64_t>::min())
    return timestamp::min();
  // PostgreSQL's calendar ends 2,000 years after ours; what lies beyond is as far away as we can
  // say.
  if (value > (timestamp::max() - epoch).count())
    return timestamp::max();
  return epoch + std::chrono::microseconds{value};
}

/// The same in days.
constexpr int days_to_2000 = 10'957;

inline std::int32_t to_postgres(std::chrono::sys_days value) {
  using limits = std::numeric_limits<std::int32_t>;
  const std::int64_t days = value.time_since_epoch().count();
  if (value == std::chrono::sys_days::min() || value == std::chrono::sys_days::max())
    return days < 0 ? limits::min() : limits::max();
  // Far below PostgreSQL's range, or above it, is so still.
  if (days <= limits::min() + days_to_2000 || days >= limits::max())
    return days < 0 ? limits::min() + 1 : limits::max() - 1;
  return static_cast<std::int32_t>(days - days_to_2000);
}

inline std::chrono::sys_days days_from_postgres(std::int32_t value) {
  if (value == std::numeric_limits<std::int32_t>::min())
    return std::chrono::sys_days::min();
  if (value == std::numeric_limits<std::int32_t>::max())
    return std::chrono::sys_days::max();
  return std::chrono::sys_days{std::chrono::days{std::int64_t{value} + days_to_2000}};
}

} // namespace troupe::db::wire
