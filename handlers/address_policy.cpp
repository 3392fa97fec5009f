// The ranges of the IANA special-purpose registries, IPv4 and IPv6. Pure: no socket, no lookup.
#include "handlers/address_policy.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace troupe {

namespace {

struct range {
  std::uint32_t network;
  int bits;
};

constexpr std::uint32_t ip(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

constexpr std::array<range, 15> refused_v4 = {{
    {ip(0, 0, 0, 0), 8},       // "this network"; Linux connects 0.0.0.0 to loopback
    {ip(10, 0, 0, 0), 8},      // private
    {ip(100, 64, 0, 0), 10},   // carrier-grade NAT; some clouds' metadata
    {ip(127, 0, 0, 0), 8},     // loopback
    {ip(169, 254, 0, 0), 16},  // link-local; most clouds' metadata
    {ip(172, 16, 0, 0), 12},   // private
    {ip(192, 0, 0, 0), 24},    // protocol assignments; Oracle's metadata
    {ip(192, 0, 2, 0), 24},    // documentation
    {ip(192, 88, 99, 0), 24},  // 6to4 relays, abandoned
    {ip(192, 168, 0, 0), 16},  // private
    {ip(198, 18, 0, 0), 15},   // benchmarks
    {ip(198, 51, 100, 0), 24}, // documentation
    {ip(203, 0, 113, 0), 24},  // documentation
    {ip(224, 0, 0, 0), 4},     // multicast
    {ip(240, 0, 0, 0), 4},     // reserved, broadcast
}};

bool is_public_v4(std::uint32_t address) {
  return std::none_of(refused_v4.begin(), refused_v4.end(), [address](const range& r) {
    return (address ^ r.network) >> (32 - r.bits) == 0;
  });
}

bool has_prefix(const std::uint8_t* bytes, std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes);
}

std::uint32_t v4_at(const std::uint8_t* bytes) {
  return ip(bytes[0], bytes[1], bytes[2], bytes[3]);
}

bool is_public_v6(const std::uint8_t* b) {
  if (has_prefix(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}))
    return is_public_v4(v4_at(b + 12)); // IPv4-mapped
  if (has_prefix(b, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}))
    return is_public_v4(v4_at(b + 12)); // NAT64
  if ((b[0] & 0xe0) != 0x20)
    return false; // only 2000::/3 is global unicast
  if (has_prefix(b, {0x20, 0x02}))
    return is_public_v4(v4_at(b + 2)); // 6to4
  if (b[0] == 0x20 && b[1] == 0x01 && (b[2] & 0xfe) == 0)
    return false; // 2001::/23: Teredo, ORCHID, benchmarks
  if (has_prefix(b, {0x20, 0x01, 0x0d, 0xb8}))
    return false;                                               // documentation
  return !(b[0] == 0x3f && b[1] == 0xff && (b[2] & 0xf0) == 0); // documentation, 3fff::/20
}

} // namespace

bool is_public(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    return is_public_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    return is_public_v6(v6.sin6_addr.s6_addr);
  }
  return false;
}

} // namespace troupe
