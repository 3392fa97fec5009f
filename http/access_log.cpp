#include "http/access_log.hpp"

#include <array>
#include <cstdio>

namespace troupe::http {

std::string access_line(const access_entry& entry) {
  std::string out{entry.method.empty() ? std::string_view{"-"} : entry.method};
  out += ' ';
  const auto path = entry.target.substr(0, entry.target.find('?'));
  out += path.empty() ? std::string_view{"-"} : path;
  out += ' ';
  out += entry.status == 0 ? "-" : std::to_string(entry.status);
  std::array<char, 64> figures{};
  const std::chrono::duration<double, std::milli> took = entry.took;
  std::snprintf(figures.data(), figures.size(), ", %llu bytes in %.2f ms",
                static_cast<unsigned long long>(entry.bytes), took.count());
  out += figures.data();
  if (!entry.whole)
    out += " and cut off";
  out += ", request ";
  out += entry.request_id;
  out += " of ";
  out += entry.peer;
  if (!entry.traceparent.empty()) {
    out += ", trace ";
    out += entry.traceparent;
  }
  return out;
}

} // namespace troupe::http
