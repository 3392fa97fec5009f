// Which network addresses a crawl may connect to. Asked by the fetcher at connect time, for the
// address the name resolved to, so neither odd spellings nor a changing DNS answer get around it.
#pragma once

struct sockaddr;

namespace troupe {

/// True for a globally reachable unicast IPv4 or IPv6 address. False for loopback, private,
/// carrier-grade NAT, link-local (cloud metadata lives there), multicast, documentation, reserved
/// and unspecified ranges, for IPv6 forms that embed such an IPv4 address, and for other families.
bool is_public(const sockaddr& address);

} // namespace troupe
