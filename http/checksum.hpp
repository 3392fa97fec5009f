// A number for a text or for several values, the same on every node: to notice that something is
// another. Against mistakes, not against malice.
#pragma once

#include <cstdint>
#include <string_view>

namespace troupe::http {

/// FNV-1a with a final mix, so that neighbouring ids differ in all bits.
class checksum {
public:
  void add(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001b3ULL; }
  void add(std::string_view text) {
    for (const char c : text)
      add(static_cast<unsigned char>(c));
  }
  void add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8)
      add(static_cast<unsigned char>(number >> shift));
  }
  std::uint64_t value() const {
    auto v = value_;
    v = (v ^ (v >> 33U)) * 0xff51afd7ed558ccdULL;
    v = (v ^ (v >> 33U)) * 0xc4ceb9fe1a85ec53ULL;
    return v ^ (v >> 33U);
  }

private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

} // namespace troupe::http
