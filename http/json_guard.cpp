// See json_guard.hpp. nlohmann's SAX parser reads (it is iterative, so depth costs it nothing); the
// receiver below judges each event and stops it at the first fault.
#include "http/json_guard.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <unordered_set>
#include <utility>

namespace troupe::http {

namespace {

using json = nlohmann::json;

/// Walks the text and tells outside how far the parser has come.
class tracked_iterator {
public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  tracked_iterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  tracked_iterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  tracked_iterator operator++(int) {
    auto old = *this;
    ++*this;
    return old;
  }
  bool operator==(const tracked_iterator& other) const { return at_ == other.at_; }
  bool operator!=(const tracked_iterator& other) const { return at_ != other.at_; }

private:
  const char* at_;
  const char** seen_;
};

/// The keys of one open object. Linear while there are few, hashed beyond.
class key_set {
public:
  bool insert(const std::string& key) {
    if (few_.size() < 16) {
      if (std::find(few_.begin(), few_.end(), key) != few_.end())
        return false;
      few_.push_back(key);
      return true;
    }
    if (many_.empty())
      many_.insert(few_.begin(), few_.end());
    return many_.insert(key).second;
  }

private:
  std::vector<std::string> few_;
  std::unordered_set<std::string> many_;
};

struct frame {
  bool array = false;
  std::size_t count = 0; ///< members or elements begun
  std::string key;       ///< the current member's
  key_set keys;
  json_value* value = nullptr; ///< none within args
};

class receiver {
public:
  receiver(const json_limits& limits, const char* begin, const char* const* seen)
      : limits_(limits), begin_(begin), seen_(seen) {}

  bool null() { return scalar({}, "null"); }
  bool boolean(bool value) {
    json_value out;
    out.type = json_value::kind::boolean;
    out.flag = value;
    return scalar(std::move(out), value ? "true" : "false");
  }
  bool number_integer(std::int64_t value) {
    // Only a token with a minus comes here, and -0 would lose it.
    return integer(value, value == 0 ? "-0" : std::to_string(value));
  }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(INT64_MAX))
      return wide_number(std::to_string(value));
    return integer(static_cast<std::int64_t>(value), std::to_string(value));
  }
  bool number_float(double /*rounded*/, const std::string& written) {
    if (!fits_numeric(written))
      return fail_value("this number has too many digits or too large an exponent");
    return wide_number(written);
  }
  bool string(std::string& value) {
    if (!is_clean(value))
      return fail_value("a string must not hold the character NUL");
    if (raw_depth() || starts_raw()) {
      std::string quoted;
      append_json_string(quoted, value);
      return scalar({}, quoted);
    }
    json_value out;
    out.type = json_value::kind::string;
    out.text = std::move(value);
    return scalar(std::move(out), {});
  }
  bool binary(json::binary_t& /*value*/) { return fail("binary values do not exist in JSON"); }

  bool start_object(std::size_t /*size*/) { return open(false); }
  bool start_array(std::size_t /*size*/) { return open(true); }
  bool end_object() { return close('}'); }
  bool end_array() { return close(']'); }
  bool key(std::string& name);
  bool parse_error(std::size_t offset, const std::string& token, const json::exception& e);

  json_value take() { return std::move(root_); }
  json_error error() { return std::move(*error_); }

private:
  static bool is_clean(const std::string& text) { return text.find('\0') == std::string::npos; }
  int raw_depth() const { return raw_frames_; }
  /// The value that comes now is the root of what is passed on as it is.
  bool starts_raw() const {
    return raw_frames_ == 0 && !frames_.empty() && !frames_.back().array
           && frames_.back().key == limits_.raw_key;
  }
  bool fits_numeric(std::string_view written) const;
  bool integer(std::int64_t value, const std::string& written);
  bool wide_number(const std::string& written);
  bool scalar(json_value value, std::string_view raw_text);
  bool open(bool array);
  bool close(char bracket);
  bool append_raw(std::string_view text);
  bool begin_element();
  json_value* place(json_value value);
  std::string pointer() const;
  bool fail(std::string detail);
  /// The same about a value that has not been counted yet.
  bool fail_value(std::string detail) {
    if (!frames_.empty() && frames_.back().array)
      ++frames_.back().count;
    return fail(std::move(detail));
  }

  const json_limits& limits_;
  const char* begin_;
  const char* const* seen_;
  json_value root_;
  std::vector<frame> frames_;
  int raw_frames_ = 0;
  json_value* raw_ = nullptr; ///< the args being written
  std::size_t values_ = 0;
  std::optional<json_error> error_;
};

std::string receiver::pointer() const {
  std::string out;
  for (const auto& f : frames_) {
    if (f.count == 0)
      break; // within a container, before its first member
    append_pointer(out, f.array ? std::to_string(f.count - 1) : f.key);
  }
  return out;
}

bool receiver::fail(std::string detail) {
  error_ = json_error{pointer(), std::move(detail), static_cast<std::size_t>(*seen_ - begin_)};
  return false;
}

bool receiver::fits_numeric(std::string_view written) const {
  if (written.size() > limits_.number_length)
    return false;
  const auto e = written.find_first_of("eE");
  if (e == std::string_view::npos)
    return true;
  auto digits = written.substr(e + 1);
  if (digits.front() == '+' || digits.front() == '-')
    digits.remove_prefix(1);
  int exponent = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  return ec == std::errc{} && exponent <= limits_.exponent;
}

bool receiver::integer(std::int64_t value, const std::string& written) {
  json_value out;
  out.type = json_value::kind::integer;
  out.integer = value;
  return scalar(std::move(out), written);
}

bool receiver::wide_number(const std::string& written) {
  json_value out;
  out.type = json_value::kind::number;
  out.text = written;
  return scalar(std::move(out), written);
}

/// Counts the value that begins now in the array around it; members are counted by their keys.
bool receiver::begin_element() {
  if (frames_.empty() || !frames_.back().array)
    return true;
  auto& around = frames_.back();
  ++around.count;
  return raw_frames_ == 0 || around.count == 1 || append_raw(",");
}

bool receiver::append_raw(std::string_view text) {
  raw_->text += text;
  if (raw_->text.size() <= limits_.raw_bytes)
    return true;
  // The whole of args is too long, not the place within it where that was noticed.
  while (raw_frames_ > 0) {
    frames_.pop_back();
    --raw_frames_;
  }
  return fail(std::string{limits_.raw_key} + " is longer than " + std::to_string(limits_.raw_bytes)
              + " bytes");
}

json_value* receiver::place(json_value value) {
  if (frames_.empty()) {
    root_ = std::move(value);
    return &root_;
  }
  auto& around = frames_.back();
  around.value->members.push_back({around.array ? std::string{} : around.key, std::move(value)});
  return &around.value->members.back().value;
}

bool receiver::scalar(json_value value, std::string_view raw_text) {
  if (!begin_element())
    return false;
  if (raw_frames_ > 0)
    return append_raw(raw_text);
  if (++values_ > limits_.values)
    return fail("more than " + std::to_string(limits_.values) + " values");
  if (!starts_raw()) {
    place(std::move(value));
    return true;
  }
  raw_ = place({json_value::kind::raw, false, 0, {}, {}});
  return append_raw(raw_text);
}

bool receiver::open(bool array) {
  if (!begin_element())
    return false;
  const bool raw = raw_frames_ > 0 || starts_raw();
  const int depth = raw ? raw_frames_ : static_cast<int>(frames_.size());
  if (depth >= limits_.depth)
    return fail("nested deeper than " + std::to_string(limits_.depth) + " levels");
  frame opened;
  opened.array = array;
  if (!raw) {
    if (++values_ > limits_.values)
      return fail("more than " + std::to_string(limits_.values) + " values");
    json_value container;
    container.type = array ? json_value::kind::array : json_value::kind::object;
    opened.value = place(std::move(container));
  } else if (raw_frames_ == 0) {
    ++values_;
    raw_ = place({json_value::kind::raw, false, 0, {}, {}});
  }
  frames_.push_back(std::move(opened));
  if (!raw)
    return true;
  ++raw_frames_;
  return append_raw(array ? "[" : "{");
}

bool receiver::close(char bracket) {
  if (raw_frames_ > 0 && !append_raw({&bracket, 1}))
    return false;
  raw_frames_ = std::max(0, raw_frames_ - 1);
  frames_.pop_back();
  return true;
}

bool receiver::key(std::string& name) {
  auto& around = frames_.back();
  ++around.count;
  around.key = name;
  if (!is_clean(name))
    return fail("a key must not hold the character NUL");
  if (around.count > limits_.members)
    return fail("an object has more than " + std::to_string(limits_.members) + " members");
  if (!around.keys.insert(name))
    return fail("this key occurs twice");
  if (raw_frames_ == 0)
    return true;
  std::string text = around.count > 1 ? "," : "";
  append_json_string(text, name);
  text += ':';
  return append_raw(text);
}

bool receiver::parse_error(std::size_t offset, const std::string& /*token*/,
                           const json::exception& e) {
  constexpr int out_of_range = 406;
  if (e.id == out_of_range)
    return fail_value("this number is out of range");
  std::string_view reason = e.what();
  const auto known = reason.find("syntax error");
  reason.remove_prefix(known == std::string_view::npos ? 0 : known);
  error_ = json_error{{}, "not JSON: " + std::string{reason.substr(0, 200)}, offset};
  return false;
}

} // namespace

problem malformed(json_error error, std::string_view text) {
  // What is missing at the end is at fault one byte behind it.
  const auto byte = std::clamp<std::size_t>(error.offset, 1, text.size() + 1);
  const auto before = text.substr(0, byte - 1);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto column = byte - (before.rfind('\n') + 1); // npos + 1 is 0
  error.detail += " (byte " + std::to_string(byte) + ": line " + std::to_string(line) + ", column "
                  + std::to_string(column) + ")";
  return invalid_fields({{std::move(error.pointer), std::move(error.detail)}});
}

void append_pointer(std::string& pointer, std::string_view key) {
  pointer += '/';
  for (const char c : key) {
    if (c == '~')
      pointer += "~0";
    else if (c == '/')
      pointer += "~1";
    else
      pointer += c;
  }
}

std::variant<json_value, json_error> read_json(std::string_view text, const json_limits& limits) {
  if (text.starts_with("\xEF\xBB\xBF"))
    return json_error{{}, "not JSON: it starts with a byte order mark", 0};
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return json_error{{}, "not JSON: it is empty", 0};
  const char* seen = text.data();
  receiver events{limits, text.data(), &seen};
  const bool whole = json::sax_parse(tracked_iterator{text.data(), &seen},
                                     tracked_iterator{text.data() + text.size(), &seen}, &events);
  if (!whole)
    return events.error();
  // The parser takes one outside of a text for the end, and what follows for nothing.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos)
    return json_error{{}, "not JSON: it holds the character NUL", nul + 1};
  return events.take();
}

} // namespace troupe::http
