#include "db/query.hpp"

#include "db/wire.hpp"
#include "messages/engine_error.hpp"

namespace troupe::db {

namespace {

// How each type's bytes look; array() uses the same for its elements.
void append(std::string& to, std::int64_t value) {
  wire::append_int(to, value);
}
void append(std::string& to, std::int32_t value) {
  wire::append_int(to, value);
}
void append(std::string& to, std::int16_t value) {
  wire::append_int(to, value);
}
void append(std::string& to, bool value) {
  to.push_back(value ? '\1' : '\0');
}
void append(std::string& to, double value) {
  wire::append_int(to, std::bit_cast<std::int64_t>(value));
}
void append(std::string& to, timestamp value) {
  wire::append_int(to, wire::to_postgres(value));
}
void append(std::string& to, std::string_view text) {
  to.append(text);
}

void append(std::string& to, json value) {
  to.push_back(wire::jsonb_version);
  to.append(value.text);
}

template<class T>
const T* element(const T& value) {
  return &value;
}
template<class T>
const T* element(const std::optional<T>& value) {
  return value ? &*value : nullptr;
}

} // namespace

query& query::finish(unsigned oid, std::size_t begin) {
  oids_.push_back(oid);
  offsets_.push_back(begin);
  // Above max_bytes the connection refuses the query, so a cut length is never sent.
  lengths_.push_back(static_cast<int>(std::min(buffer_.size() - begin, max_bytes)));
  return *this;
}

query& query::null(unsigned oid) {
  oids_.push_back(oid);
  offsets_.push_back(buffer_.size());
  lengths_.push_back(-1);
  return *this;
}

query& query::bind(std::int64_t value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::int8, begin);
}

query& query::bind(std::int32_t value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::int4, begin);
}

query& query::bind(std::int16_t value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::int2, begin);
}

query& query::bind(bool value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::boolean, begin);
}

query& query::bind(double value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::float8, begin);
}

query& query::bind(std::string_view text) {
  auto begin = buffer_.size();
  append(buffer_, text);
  return finish(oid::text, begin);
}

query& query::bind(const char* text) {
  return text ? bind(std::string_view{text}) : null(oid::text);
}

query& query::bind(timestamp value) {
  auto begin = buffer_.size();
  append(buffer_, value);
  return finish(oid::timestamptz, begin);
}

query& query::bind(std::chrono::sys_days date) {
  auto begin = buffer_.size();
  wire::append_int(buffer_, wire::to_postgres(date));
  return finish(oid::date, begin);
}

query& query::bind_interval(std::chrono::microseconds value) {
  auto begin = buffer_.size();
  wire::append_int<std::int64_t>(buffer_, value.count());
  wire::append_int<std::int64_t>(buffer_, 0); // days, months
  return finish(oid::interval, begin);
}

void query::refuse_number(const std::string& value) const {
  throw engine_error(errc::invalid_argument, "$" + std::to_string(size() + 1) + ": " + value
                                                 + " is more than a bigint holds");
}

query& query::bind(std::span<const std::byte> value) {
  return bind_bytes({reinterpret_cast<const char*>(value.data()), value.size()});
}

query& query::bind_jsonb(std::string_view text) {
  auto begin = buffer_.size();
  append(buffer_, json{text});
  return finish(oid::jsonb, begin);
}

query& query::bind_bytes(std::string_view bytes) {
  auto begin = buffer_.size();
  buffer_.append(bytes);
  return finish(oid::bytea, begin);
}

// Dimensions, "has NULLs", element type; per dimension its length and lower bound; then the
// elements.
template<class Values>
query& query::array(unsigned array_oid, unsigned oid, const Values& values) {
  auto begin = buffer_.size();
  auto count = static_cast<std::int32_t>(values.size());
  wire::append_int<std::int32_t>(buffer_, count == 0 ? 0 : 1);
  auto flag = buffer_.size();
  wire::append_int<std::int32_t>(buffer_, 0);
  wire::append_int(buffer_, static_cast<std::int32_t>(oid));
  if (count > 0) {
    wire::append_int(buffer_, count);
    wire::append_int<std::int32_t>(buffer_, 1);
  }
  for (auto&& value : values) {
    const auto* present = element(value);
    if (present == nullptr) {
      wire::put_int<std::int32_t>(buffer_.data() + flag, 1);
      wire::append_int<std::int32_t>(buffer_, -1);
      continue;
    }
    auto length = buffer_.size();
    wire::append_int<std::int32_t>(buffer_, 0);
    append(buffer_, *present);
    auto size = buffer_.size() - length - sizeof(std::int32_t);
    wire::put_int(buffer_.data() + length, static_cast<std::int32_t>(std::min(size, max_bytes)));
  }
  return finish(array_oid, begin);
}

query& query::bind(const std::vector<std::int64_t>& values) {
  return array(oid::int8_array, oid::int8, values);
}

query& query::bind(const std::vector<std::int32_t>& values) {
  return array(oid::int4_array, oid::int4, values);
}

query& query::bind(const std::vector<std::int16_t>& values) {
  return array(oid::int2_array, oid::int2, values);
}

query& query::bind(const std::vector<bool>& values) {
  return array(oid::boolean_array, oid::boolean,
               std::vector<std::optional<bool>>(values.begin(), values.end()));
}

query& query::bind(const std::vector<double>& values) {
  return array(oid::float8_array, oid::float8, values);
}

query& query::bind(const std::vector<std::string>& texts) {
  return array(oid::text_array, oid::text, texts);
}

query& query::bind(const std::vector<std::string_view>& texts) {
  return array(oid::text_array, oid::text, texts);
}

query& query::bind(const std::vector<timestamp>& values) {
  return array(oid::timestamptz_array, oid::timestamptz, values);
}

query& query::bind(const std::vector<std::optional<std::int64_t>>& values) {
  return array(oid::int8_array, oid::int8, values);
}

query& query::bind(const std::vector<std::optional<std::int32_t>>& values) {
  return array(oid::int4_array, oid::int4, values);
}

query& query::bind(const std::vector<std::optional<double>>& values) {
  return array(oid::float8_array, oid::float8, values);
}

query& query::bind(const std::vector<std::optional<timestamp>>& values) {
  return array(oid::timestamptz_array, oid::timestamptz, values);
}

query& query::bind(const std::vector<std::optional<std::string>>& texts) {
  return array(oid::text_array, oid::text, texts);
}

query& query::bind_text_array(const std::vector<std::string>& texts) {
  std::vector<std::optional<std::string_view>> elements;
  elements.reserve(texts.size());
  for (const auto& text : texts)
    elements.push_back(text.empty() ? std::nullopt : std::optional<std::string_view>{text});
  return array(oid::text_array, oid::text, elements);
}

query& query::bind_jsonb_array(const std::vector<std::string>& texts) {
  std::vector<std::optional<json>> elements;
  elements.reserve(texts.size());
  for (const auto& text : texts)
    elements.push_back(text.empty() ? std::nullopt : std::optional<json>{{text}});
  return array(oid::jsonb_array, oid::jsonb, elements);
}

std::string name_of(std::string_view sql) {
  constexpr std::size_t longest = 60;
  std::string name;
  for (const char c : sql) {
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    if (!blank)
      name += c;
    else if (!name.empty() && name.back() != ' ')
      name += ' ';
    if (name.size() > longest)
      break;
  }
  if (name.ends_with(' '))
    name.pop_back();
  if (name.size() <= longest)
    return name;
  auto end = longest - 3;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) // inside a character
    --end;
  return name.substr(0, end) + "...";
}

query& query::timeout(std::chrono::milliseconds limit) {
  timeout_ = limit;
  return *this;
}

std::chrono::milliseconds query::timeout() const {
  return timeout_.count() > 0 ? timeout_ : what_->timeout;
}

query& query::expect_affected(std::uint64_t count) {
  expected_ = count;
  return *this;
}

query::wire_view query::parameters() const {
  wire_view result;
  result.values.reserve(size());
  for (std::size_t i = 0; i < size(); ++i)
    result.values.push_back(lengths_[i] < 0 ? nullptr : buffer_.data() + offsets_[i]);
  result.formats.assign(size(), 1);
  return result;
}

} // namespace troupe::db
