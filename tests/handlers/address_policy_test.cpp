// The address table of the crawl: what may be connected to, form by form.
#include "handlers/address_policy.hpp"

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/un.h>

namespace {

bool allowed(const char* text) {
  sockaddr_storage any{};
  if (std::strchr(text, ':') != nullptr) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    BOOST_TEST_REQUIRE(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    std::memcpy(&any, &v6, sizeof v6);
  } else {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    BOOST_TEST_REQUIRE(inet_pton(AF_INET, text, &v4.sin_addr) == 1);
    std::memcpy(&any, &v4, sizeof v4);
  }
  return troupe::is_public(reinterpret_cast<const sockaddr&>(any));
}

} // namespace

BOOST_AUTO_TEST_CASE(public_addresses_are_allowed) {
  for (const char* text : {"1.1.1.1",         "8.8.8.8",         "9.255.255.255",
                           "11.0.0.0",        "100.63.255.255",  "100.128.0.0",
                           "126.255.255.255", "128.0.0.0",       "169.253.255.255",
                           "169.255.0.0",     "172.15.255.255",  "172.32.0.0",
                           "192.0.1.0",       "192.0.3.0",       "192.167.255.255",
                           "192.169.0.0",     "198.17.255.255",  "198.20.0.0",
                           "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888",
                           "2a00::1",         "::ffff:8.8.8.8",  "64:ff9b::808:808",
                           "2002:808:808::1"})
    BOOST_TEST(allowed(text), text);
}

BOOST_AUTO_TEST_CASE(loopback_private_shared_metadata_and_reserved_addresses_are_refused) {
  for (const char* text :
       {"0.0.0.0",         "0.255.255.255",   "10.0.0.0",    "10.255.255.255",  "100.64.0.0",
        "100.100.100.200", "100.127.255.255", "127.0.0.1",   "127.255.255.255", "169.254.0.0",
        "169.254.169.254", "169.254.255.255", "172.16.0.0",  "172.31.255.255",  "192.0.0.192",
        "192.0.2.1",       "192.88.99.1",     "192.168.0.1", "192.168.255.255", "198.18.0.0",
        "198.19.255.255",  "198.51.100.7",    "203.0.113.9", "224.0.0.1",       "239.255.255.255",
        "240.0.0.1",       "255.255.255.255"})
    BOOST_TEST(!allowed(text), text);
}

BOOST_AUTO_TEST_CASE(inner_ipv6_addresses_are_refused) {
  for (const char* text :
       {"::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1", "100::1", "4000::1"})
    BOOST_TEST(!allowed(text), text);
}

BOOST_AUTO_TEST_CASE(an_inner_ipv4_address_is_refused_in_every_ipv6_wrapping) {
  for (const char* text :
       {"::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::1",
        "2002:a00:1::1", "2002:c0a8:101::"})
    BOOST_TEST(!allowed(text), text);
}

BOOST_AUTO_TEST_CASE(other_address_families_are_refused) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  BOOST_TEST(!troupe::is_public(reinterpret_cast<const sockaddr&>(local)));
}
