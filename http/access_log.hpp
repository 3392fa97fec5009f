// What is logged of each request: one event of level debug by "access".
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::http {

struct access_entry {
  std::string_view method;                     ///< empty: the head was none
  std::string_view target;                     ///< as sent; of its query nothing is logged
  int status = 0;                              ///< 0: no answer went out
  std::uint64_t bytes = 0;                     ///< of the body, as sent
  std::chrono::steady_clock::duration took{0}; ///< from the end of the head to the last byte
  std::string_view request_id;
  std::string_view peer;             ///< an address
  bool whole = true;                 ///< false: the connection ended before the last byte
  std::string_view traceparent = {}; ///< empty: it named no trace
};

/// "GET /api/v1/jobs 200, 5120 bytes in 1.25 ms, request 5d2c-1 of 127.0.0.1"
std::string access_line(const access_entry& entry);

} // namespace troupe::http
