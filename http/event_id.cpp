// See event_id.hpp. Base64url of: version, form, done, what was told, 4 bytes of check.
#include "http/event_id.hpp"

#include "http/checksum.hpp"

namespace troupe::http {

namespace {

constexpr unsigned char version = 1;
constexpr int digest_bytes = 6;
constexpr int name_bytes = 4;
constexpr int whole_bytes = 8;
constexpr int check_bytes = 4;
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum class form : unsigned char { jobs, queues, whole };

class writer {
public:
  void put(std::uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      bytes_ += static_cast<char>(value >> static_cast<unsigned>(shift) & 255U);
  }
  /// Seven bits a byte, the lowest first.
  void put_short(std::uint64_t value) {
    for (; value >= 128; value >>= 7U)
      put(value | 128U, 1);
    put(value, 1);
  }
  const std::string& bytes() const { return bytes_; }

private:
  std::string bytes_;
};

class bytes_reader {
public:
  explicit bytes_reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t get(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value = value << 8U | next();
    return value;
  }
  std::uint64_t get_short() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = next();
      value |= (byte & 127U) << shift;
      if (byte < 128)
        return value;
    }
    good_ = false;
    return 0;
  }
  bool good() const { return good_; }
  std::size_t left() const { return rest_.size(); }

private:
  std::uint64_t next() {
    if (rest_.empty()) {
      good_ = false;
      return 0;
    }
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  std::string_view rest_;
  bool good_ = true;
};

std::string to_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 4 / 3 + 3);
  unsigned held = 0;
  unsigned bits = 0;
  for (const char c : bytes) {
    held = held << 8U | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6)
      out += alphabet[held >> (bits - 6) & 63U];
  }
  if (bits > 0)
    out += alphabet[held << (6 - bits) & 63U];
  return out;
}

std::optional<std::string> to_bytes(std::string_view text) {
  std::string out;
  unsigned held = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos)
      return std::nullopt;
    held = held << 6U | static_cast<unsigned>(digit);
    if (bits += 6; bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits & 255U);
    }
  }
  if ((held & ((1U << bits) - 1)) != 0) // one id has one text
    return std::nullopt;
  return out;
}

std::uint64_t check_of(std::string_view bytes, const event_subject& of) {
  checksum sum;
  sum.add(bytes);
  for (const auto id : of.jobs)
    sum.add(static_cast<std::uint64_t>(id.value));
  for (const auto& name : of.queues) {
    sum.add(static_cast<std::uint64_t>(name.size()));
    sum.add(std::string_view{name});
  }
  return sum.value() & 0xffffffffU;
}

bool read_jobs(bytes_reader& from, event_position& into, const event_subject& of) {
  for (std::size_t i = 0; i < of.jobs.size(); ++i) {
    told_job one;
    one.digest = from.get(digest_bytes);
    const auto line = from.get_short();
    one.ended = (line & 1U) != 0;
    one.last_line = static_cast<std::int64_t>(line >> 1U);
    into.jobs.push_back(one);
  }
  return from.left() == 0;
}

bool read_queues(bytes_reader& from, event_position& into) {
  while (from.good() && from.left() > 0) {
    const auto name = static_cast<std::uint32_t>(from.get(name_bytes));
    into.queues.push_back({name, from.get(digest_bytes)});
  }
  return into.queues.size() <= event_bounds::subjects;
}

} // namespace

std::uint64_t event_digest(std::string_view text) {
  checksum sum;
  sum.add(text);
  const auto value = sum.value() >> 16U;
  return value != 0 ? value : 1;
}

std::uint32_t event_name_hash(std::string_view queue) {
  return static_cast<std::uint32_t>(event_digest(queue));
}

std::uint64_t event_share(std::string_view queue, std::uint64_t digest) {
  checksum sum;
  sum.add(digest);
  sum.add(queue);
  return sum.value();
}

std::string make_event_id(const event_position& told, const event_subject& of) {
  writer out;
  const auto kind = !of.jobs.empty() ? form::jobs : told.whole ? form::whole : form::queues;
  out.put(version, 1);
  out.put(static_cast<std::uint64_t>(kind), 1);
  out.put(told.done ? 1 : 0, 1);
  for (const auto& one : told.jobs) {
    out.put(one.digest, digest_bytes);
    out.put_short(static_cast<std::uint64_t>(one.last_line) << 1U | (one.ended ? 1U : 0U));
  }
  if (told.whole)
    out.put(*told.whole, whole_bytes);
  else
    for (const auto& one : told.queues) {
      out.put(one.name, name_bytes);
      out.put(one.digest, digest_bytes);
    }
  out.put(check_of(out.bytes(), of), check_bytes);
  return to_text(out.bytes());
}

std::optional<event_position> read_event_id(std::string_view text, const event_subject& of) {
  if (text.size() > event_bounds::id_length)
    return std::nullopt;
  const auto bytes = to_bytes(text);
  if (!bytes || bytes->size() < 3 + check_bytes)
    return std::nullopt;
  const auto told = std::string_view{*bytes}.substr(0, bytes->size() - check_bytes);
  bytes_reader check{std::string_view{*bytes}.substr(told.size())};
  if (check.get(check_bytes) != check_of(told, of))
    return std::nullopt;
  bytes_reader from{told};
  if (from.get(1) != version)
    return std::nullopt;
  const auto kind = from.get(1);
  event_position out;
  out.done = from.get(1) != 0;
  bool whole = false;
  if (kind == static_cast<std::uint64_t>(form::jobs)) {
    whole = !of.jobs.empty() && read_jobs(from, out, of);
  } else if (kind == static_cast<std::uint64_t>(form::queues)) {
    whole = of.jobs.empty() && read_queues(from, out);
  } else if (kind == static_cast<std::uint64_t>(form::whole)) {
    out.whole = from.get(whole_bytes);
    whole = of.jobs.empty() && from.left() == 0;
  }
  if (!whole || !from.good())
    return std::nullopt;
  return out;
}

} // namespace troupe::http
