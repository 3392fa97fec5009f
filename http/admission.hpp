// What a sound request must still show before its route sees it: a Host that is ours (DNS
// rebinding), no foreign web page behind it (CSRF), the content type the route takes, no change
// while the node drains.
#pragma once

#include "http/router.hpp"

#include <optional>
#include <set>
#include <string>

namespace troupe::http {

struct admission_rules {
  /// Names a Host may have, lower case, without port; empty: any.
  std::set<std::string, std::less<>> hosts;
};

/// For a server bound to `address`: on loopback only localhost, 127.0.0.1, [::1], the address
/// itself and `more` are taken; elsewhere any name unless `more` lists some.
admission_rules rules_for(const std::string& address, const std::set<std::string>& more);

/// Checked before routing. Nothing means: go on.
std::optional<response> admit(const request_head& head, const framing& borders, method verb,
                              const admission_rules& rules);
/// Checked when the route is known, while the node drains: 503 for what would change anything, but
/// for what says how work goes that was handed out before.
std::optional<response> admit_during_drain(const route& wanted);
/// Checked when the route is known: 415.
std::optional<response> admit_body(const route& wanted, const request_head& head,
                                   const framing& borders);

} // namespace troupe::http
