#include "http/bearer_token.hpp"

#include "http/sha256.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

namespace troupe::http {

namespace {

constexpr std::string_view prefix = "trp_";
constexpr std::string_view digits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool is_digit(char c) {
  return digits.find(c) != std::string_view::npos;
}

/// CRC-32 as in zlib and Ethernet.
std::uint32_t crc(std::string_view text) {
  std::uint32_t value = 0xffffffff;
  for (const char c : text) {
    value ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit)
      value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320U : 0U);
  }
  return ~value;
}

/// Six digits hold any 32 bits; the most significant first.
std::string checksum(std::string_view text) {
  std::string out(bearer_token::checksum_characters, '0');
  auto value = crc(text);
  for (auto digit = out.rbegin(); digit != out.rend(); ++digit) {
    *digit = digits[value % digits.size()];
    value /= static_cast<std::uint32_t>(digits.size());
  }
  return out;
}

} // namespace

bearer_token bearer_token::make() {
  // From 248 on a byte is thrown away, so that each digit is as likely as any other.
  constexpr unsigned fair = 256 / digits.size() * digits.size();
  std::string text{prefix};
  while (text.size() < prefix.size() + random_characters) {
    std::array<unsigned char, 64> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
      throw std::runtime_error("no random numbers could be had for a token");
    for (const auto byte : bytes)
      if (byte < fair && text.size() < prefix.size() + random_characters)
        text += digits[byte % digits.size()];
  }
  text += checksum(text);
  return bearer_token{std::move(text)};
}

std::optional<bearer_token> bearer_token::parse(std::string_view text) {
  if (text.size() != length || !text.starts_with(prefix)
      || !std::all_of(text.begin() + prefix.size(), text.end(), is_digit))
    return std::nullopt;
  const auto body = text.substr(0, length - checksum_characters);
  if (checksum(body) != text.substr(body.size()))
    return std::nullopt;
  return bearer_token{std::string{text}};
}

std::string bearer_token::hash() const {
  const auto digest = sha256(text_);
  return {digest.begin(), digest.end()};
}

std::optional<std::string_view> bearer_of(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer";
  const auto same = [](char given, char wanted) {
    return (given >= 'A' && given <= 'Z' ? given - 'A' + 'a' : given) == wanted;
  };
  if (authorization.size() <= scheme.size()
      || !std::equal(scheme.begin(), scheme.end(), authorization.begin(),
                     [&](char wanted, char given) { return same(given, wanted); }))
    return std::nullopt;
  auto rest = authorization.substr(scheme.size());
  const auto begin = rest.find_first_not_of(' ');
  if (begin == 0 || begin == std::string_view::npos)
    return std::nullopt;
  rest.remove_prefix(begin);
  rest = rest.substr(0, rest.find_last_not_of(" \t") + 1);
  if (rest.empty() || rest.find_first_of(" \t") != std::string_view::npos)
    return std::nullopt;
  return rest;
}

} // namespace troupe::http
