#include "db/text_values.hpp"

#include "db/query.hpp"
#include "db/wire.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <limits>
#include <utility>

namespace troupe::db {

namespace {

constexpr std::uint64_t us_per_second = 1'000'000;
constexpr std::int64_t us_per_day = 86'400'000'000;

template<class... Values>
std::string format(const char* how, Values... values) {
  char text[128];
  const int length = std::snprintf(text, sizeof text, how, values...);
  return {text, static_cast<std::size_t>(length)};
}

// -- dates and times

struct civil_day {
  std::int64_t year; ///< 0 is 1 BC
  int month;
  int day;
};

/// By counting in eras of 400 years: std::chrono::year ends where PostgreSQL's calendar goes on.
civil_day civil(std::int64_t days_since_1970) {
  const auto shifted = days_since_1970 + 719'468; // since 0000-03-01
  const auto era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const auto of_era = shifted - era * 146'097;
  const auto year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const auto of_year = of_era - (365 * year + year / 4 - year / 100);
  const auto month = (5 * of_year + 2) / 153; // from March
  const int calendar_month = static_cast<int>(month < 10 ? month + 3 : month - 9);
  return {year + era * 400 + (calendar_month <= 2 ? 1 : 0), calendar_month,
          static_cast<int>(of_year - (153 * month + 2) / 5 + 1)};
}

std::string day_text(std::int64_t since_2000) {
  const auto day = civil(since_2000 + wire::days_to_2000);
  const long long year = day.year > 0 ? day.year : 1 - day.year;
  return format("%04lld-%02d-%02d", year, day.month, day.day);
}

const char* era_text(std::int64_t since_2000) {
  return civil(since_2000 + wire::days_to_2000).year > 0 ? "" : " BC";
}

/// "02:03:04.5": without the zeros that end a fraction.
std::string clock_text(std::uint64_t us) {
  const unsigned long long seconds = us / us_per_second;
  auto text = format("%02llu:%02llu:%02llu", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (const unsigned long long fraction = us % us_per_second; fraction != 0) {
    text += format(".%06llu", fraction);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string date_text(std::int32_t days) {
  if (days == std::numeric_limits<std::int32_t>::max())
    return "infinity";
  if (days == std::numeric_limits<std::int32_t>::min())
    return "-infinity";
  return day_text(days) + era_text(days);
}

std::string moment_text(std::int64_t us, const char* zone) {
  if (us == std::numeric_limits<std::int64_t>::max())
    return "infinity";
  if (us == std::numeric_limits<std::int64_t>::min())
    return "-infinity";
  auto days = us / us_per_day;
  auto rest = us % us_per_day;
  if (rest < 0) {
    rest += us_per_day;
    --days;
  }
  return day_text(days) + " " + clock_text(static_cast<std::uint64_t>(rest)) + zone
         + era_text(days);
}

/// What follows a negative part says its sign, and no part is told of one that is zero.
std::string interval_text(std::int64_t us, std::int32_t days, std::int32_t months) {
  std::string text;
  bool negative = false;
  const auto part = [&](std::int64_t value, const char* unit) {
    if (value == 0)
      return;
    text += format("%s%s%lld %s%s", text.empty() ? "" : " ", negative && value > 0 ? "+" : "",
                   static_cast<long long>(value), unit, value == 1 ? "" : "s");
    negative = value < 0;
  };
  part(months / 12, "year");
  part(months % 12, "mon");
  part(days, "day");
  if (us == 0 && !text.empty())
    return text;
  if (!text.empty())
    text += ' ';
  text += us < 0 ? "-" : negative ? "+" : "";
  const auto size = static_cast<std::uint64_t>(us);
  return text + clock_text(us < 0 ? 0 - size : size);
}

// -- numeric

constexpr std::uint16_t negative_sign = 0x4000, not_a_number = 0xC000, infinite = 0xD000,
                        minus_infinite = 0xF000;

/// Digits to the base of 10,000; `weight` is the power of the first.
std::optional<std::string> numeric_text(std::string_view bytes) {
  constexpr std::size_t header = 8;
  if (bytes.size() < header)
    return std::nullopt;
  const auto count = wire::get_int<std::int16_t>(bytes.data());
  const auto weight = wire::get_int<std::int16_t>(bytes.data() + 2);
  const auto sign = wire::get_int<std::uint16_t>(bytes.data() + 4);
  const auto scale = wire::get_int<std::int16_t>(bytes.data() + 6);
  if (sign == not_a_number)
    return "NaN";
  if (sign == infinite)
    return "Infinity";
  if (sign == minus_infinite)
    return "-Infinity";
  if (count < 0 || scale < 0 || bytes.size() != header + 2 * static_cast<std::size_t>(count))
    return std::nullopt;
  const auto append = [&](std::string& to, int power) {
    const int at = weight - power;
    const int digits =
        at >= 0 && at < count ? wire::get_int<std::int16_t>(bytes.data() + header + 2 * at) : 0;
    to += format("%04d", digits);
  };
  std::string whole;
  for (int power = weight; power >= 0; --power)
    append(whole, power);
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  std::string text = sign == negative_sign ? "-" : "";
  text += whole.empty() ? "0" : whole;
  if (scale == 0)
    return text;
  std::string fraction;
  for (int power = -1; fraction.size() < static_cast<std::size_t>(scale); --power)
    append(fraction, power);
  return text + "." + fraction.substr(0, static_cast<std::size_t>(scale));
}

/// The digits that count, without point, sign and zeros around them.
std::string significant_digits(std::string_view text) {
  std::string digits;
  for (const char c : text.substr(0, text.find('e')))
    if (c >= '0' && c <= '9')
      digits += c;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  digits.erase(digits.find_last_not_of('0') + 1);
  return digits;
}

// -- the rest

std::optional<std::string> uuid_text(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text += '-';
    text += format("%02x", static_cast<unsigned>(static_cast<unsigned char>(bytes[i])));
  }
  return text;
}

/// User-defined types begin here; the four bytes that an enum has in a table tell it from others.
constexpr unsigned first_own_type = 16'384;
constexpr int enum_size = 4;

bool is_own(unsigned type) {
  return type >= first_own_type;
}

constexpr unsigned as_is[] = {oid::text,  oid::varchar,      oid::name,    oid::json, oid::jsonb,
                              oid::bytea, oid::blank_padded, oid::unknown, oid::xml};

/// Types of one size whose text is worked out.
struct fixed {
  unsigned type;
  std::size_t size;
};
constexpr fixed worked_out[] = {{oid::date, 4},        {oid::time, 8},      {oid::timestamp, 8},
                                {oid::timestamptz, 8}, {oid::interval, 16}, {oid::uuid, 16}};

} // namespace

bool is_text(unsigned type, int size) {
  return std::find(std::begin(as_is), std::end(as_is), type) != std::end(as_is)
         || (is_own(type) && size == enum_size);
}

bool has_text(unsigned type, int size) {
  return is_text(type, size) || type == oid::numeric
         || std::any_of(std::begin(worked_out), std::end(worked_out),
                        [type](const fixed& one) { return one.type == type; });
}

std::optional<std::string> text_of(unsigned type, std::string_view bytes) {
  for (const auto& one : worked_out)
    if (one.type == type && bytes.size() != one.size)
      return std::nullopt;
  const char* raw = bytes.data();
  switch (type) {
  case oid::numeric:
    return numeric_text(bytes);
  case oid::date:
    return date_text(wire::get_int<std::int32_t>(raw));
  case oid::time:
    return clock_text(wire::get_int<std::uint64_t>(raw));
  case oid::timestamp:
    return moment_text(wire::get_int<std::int64_t>(raw), "");
  case oid::timestamptz:
    return moment_text(wire::get_int<std::int64_t>(raw), "+00");
  case oid::interval:
    return interval_text(wire::get_int<std::int64_t>(raw), wire::get_int<std::int32_t>(raw + 8),
                         wire::get_int<std::int32_t>(raw + 12));
  case oid::uuid:
    return uuid_text(bytes);
  case oid::jsonb:
    if (bytes.empty() || bytes.front() != wire::jsonb_version)
      return std::nullopt;
    return std::string{bytes.substr(1)};
  default:
    // A type of the same size as an enum, sent as a number.
    if (is_own(type) && (bytes.empty() || bytes.find('\0') != std::string_view::npos))
      return std::nullopt;
    return std::string{bytes};
  }
}

std::optional<std::int64_t> exact_integer(const std::string& numeric) {
  const auto point = numeric.find('.');
  if (point != std::string::npos && numeric.find_first_not_of('0', point + 1) != std::string::npos)
    return std::nullopt;
  const char* end = numeric.data() + std::min(point, numeric.size());
  std::int64_t value = 0;
  const auto [last, fault] = std::from_chars(numeric.data(), end, value);
  if (fault != std::errc{} || last != end)
    return std::nullopt;
  return value;
}

std::optional<double> exact_double(const std::string& numeric) {
  // More than a double has, written out to its last digit.
  constexpr std::size_t most_digits = 800;
  double value = 0;
  const auto read = std::from_chars(numeric.data(), numeric.data() + numeric.size(), value);
  const auto digits = significant_digits(numeric);
  if (digits.empty()) // zero, or no number
    return value;
  if (read.ec != std::errc{} || digits.size() > most_digits)
    return std::nullopt;
  char text[most_digits + 16];
  std::snprintf(text, sizeof text, "%.*e", static_cast<int>(digits.size()) - 1, value);
  if (significant_digits(text) != digits)
    return std::nullopt;
  return value;
}

std::string type_name(unsigned type) {
  static constexpr std::pair<unsigned, const char*> names[] = {
      {oid::boolean, "boolean"},
      {oid::bytea, "bytea"},
      {oid::name, "name"},
      {oid::int8, "bigint"},
      {oid::int2, "smallint"},
      {oid::int4, "integer"},
      {oid::text, "text"},
      {oid::object, "oid"},
      {oid::json, "json"},
      {oid::xml, "xml"},
      {oid::float4, "real"},
      {oid::float8, "double precision"},
      {oid::unknown, "unknown"},
      {oid::blank_padded, "character"},
      {oid::varchar, "varchar"},
      {oid::date, "date"},
      {oid::time, "time"},
      {oid::timestamp, "timestamp without time zone"},
      {oid::timestamptz, "timestamptz"},
      {oid::interval, "interval"},
      {oid::numeric, "numeric"},
      {oid::uuid, "uuid"},
      {oid::jsonb, "jsonb"},
      {oid::boolean_array, "boolean[]"},
      {oid::name_array, "name[]"},
      {oid::int2_array, "smallint[]"},
      {oid::int4_array, "integer[]"},
      {oid::text_array, "text[]"},
      {oid::varchar_array, "varchar[]"},
      {oid::int8_array, "bigint[]"},
      {oid::float8_array, "double precision[]"},
      {oid::timestamptz_array, "timestamptz[]"},
      {oid::numeric_array, "numeric[]"},
      {oid::date_array, "date[]"},
      {oid::uuid_array, "uuid[]"},
      {oid::jsonb_array, "jsonb[]"},
      {600, "point"},
      {790, "money"},
      {829, "macaddr"},
      {650, "cidr"},
      {869, "inet"},
      {1266, "time with time zone"},
      {1560, "bit"},
      {2249, "record"},
      {2278, "void"},
      {3614, "tsvector"},
      {3904, "int4range"},
      {3910, "tstzrange"},
      {5069, "xid8"},
  };
  for (const auto& [number, text] : names)
    if (number == type)
      return text;
  return "the type with oid " + std::to_string(type);
}

} // namespace troupe::db
