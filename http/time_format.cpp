// See time_format.hpp. Calendar arithmetic is std::chrono's; the digits are ours, since GCC 12 has
// no std::format and strftime knows no microseconds.
#include "http/time_format.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace troupe::http {

namespace {

using namespace std::chrono;

void append_digits(std::string& out, std::uint32_t value, int width) {
  std::array<char, 8> digits;
  for (int i = width; i-- > 0; value /= 10)
    digits.at(static_cast<std::size_t>(i)) = static_cast<char>('0' + value % 10);
  out.append(digits.data(), static_cast<std::size_t>(width));
}

/// Reads fixed-width pieces from the front of a text; once something is missing it stays failed.
class piece_reader {
public:
  explicit piece_reader(std::string_view text) : rest_(text) {}

  int number(std::size_t width) {
    int value = 0;
    if (rest_.size() < width)
      return fail();
    for (const char c : rest_.substr(0, width)) {
      if (c < '0' || c > '9')
        return fail();
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(width);
    return value;
  }
  char one_of(std::string_view allowed) {
    if (rest_.empty() || allowed.find(rest_.front()) == std::string_view::npos) {
      fail();
      return '\0';
    }
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  microseconds fraction() {
    std::int64_t value = 0;
    int count = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      if (++count <= 6)
        value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    if (count == 0 || count > 9)
      fail();
    for (int i = count; i < 6; ++i)
      value *= 10;
    return microseconds{value};
  }
  bool next_is(char c) const { return !rest_.empty() && rest_.front() == c; }
  bool done() const { return ok_ && rest_.empty(); }

private:
  int fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

minutes read_offset(piece_reader& in, bool& in_range) {
  const char sign = in.one_of("Zz+-");
  if (sign != '+' && sign != '-')
    return minutes{0};
  const int hour = in.number(2);
  in.one_of(":");
  const int minute = in.number(2);
  in_range = hour <= 23 && minute <= 59;
  const minutes offset = hours{hour} + minutes{minute};
  return sign == '+' ? offset : -offset;
}

} // namespace

void append_time(std::string& out, timestamp time) {
  constexpr auto first = timestamp{sys_days{year{0} / 1 / 1}};
  constexpr auto last = timestamp{sys_days{year{10000} / 1 / 1}} - microseconds{1};
  time = std::clamp(time, first, last);
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const auto of_day = time - day;
  const auto second = static_cast<std::uint32_t>(floor<seconds>(of_day).count());
  append_digits(out, static_cast<std::uint32_t>(static_cast<int>(date.year())), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_digits(out, second / 3600, 2);
  out += ':';
  append_digits(out, second / 60 % 60, 2);
  out += ':';
  append_digits(out, second % 60, 2);
  if (const auto micros = of_day.count() % 1'000'000; micros != 0) {
    out += '.';
    append_digits(out, static_cast<std::uint32_t>(micros), 6);
    while (out.back() == '0')
      out.pop_back();
  }
  out += 'Z';
}

void append_time_or_null(std::string& out, const std::optional<timestamp>& time) {
  if (!time) {
    out += "null";
    return;
  }
  out += '"';
  append_time(out, *time);
  out += '"';
}

std::string format_time(timestamp time) {
  std::string out;
  append_time(out, time);
  return out;
}

std::optional<timestamp> parse_time(std::string_view text) {
  piece_reader in{text};
  const int y = in.number(4);
  in.one_of("-");
  const int mo = in.number(2);
  in.one_of("-");
  const int d = in.number(2);
  in.one_of("Tt ");
  const int h = in.number(2);
  in.one_of(":");
  const int mi = in.number(2);
  in.one_of(":");
  const int s = in.number(2);
  microseconds fraction{0};
  if (in.next_is('.')) {
    in.one_of(".");
    fraction = in.fraction();
  }
  bool offset_in_range = true;
  const auto offset = read_offset(in, offset_in_range);
  const year_month_day date{year{y}, month{static_cast<unsigned>(mo)},
                            day{static_cast<unsigned>(d)}};
  if (!in.done() || !date.ok() || h > 23 || mi > 59 || s > 60 || !offset_in_range)
    return std::nullopt;
  return timestamp{sys_days{date}} + hours{h} + minutes{mi} + seconds{s} + fraction - offset;
}

std::string http_date(std::time_t time) {
  constexpr std::array<const char*, 7> day_names = {"Sun", "Mon", "Tue", "Wed",
                                                    "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> month_names = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto at = sys_seconds{seconds{time}};
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const auto of_day = (at - day).count();
  std::string out = day_names.at(weekday{day}.c_encoding());
  out += ", ";
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out += ' ';
  out += month_names.at(static_cast<unsigned>(date.month()) - 1);
  out += ' ';
  append_digits(out, static_cast<std::uint32_t>(static_cast<int>(date.year())), 4);
  out += ' ';
  append_digits(out, of_day / 3600, 2);
  out += ':';
  append_digits(out, of_day / 60 % 60, 2);
  out += ':';
  append_digits(out, of_day % 60, 2);
  out += " GMT";
  return out;
}

} // namespace troupe::http
