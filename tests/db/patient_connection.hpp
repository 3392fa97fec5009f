// Connections whose limits are only guards: what waits for a lock, or is read slowly, may take as
// long as a starved machine needs for it.
#pragma once

#include "tests/support/await.hpp"
#include "tests/support/drive.hpp"

#include <string>

namespace troupe::tests {

inline db::connect_options patient_options(const std::string& url) {
  db::connect_options options;
  options.url = url;
  options.application_name = "troupe test";
  options.connect_timeout = patience;
  options.statement_timeout = options.lock_timeout = patience;
  options.idle_in_transaction_timeout = {}; // none
  return options;
}

inline db::connection connect_patiently(const std::string& url) {
  return connect(patient_options(url));
}

} // namespace troupe::tests
