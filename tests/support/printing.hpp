// How Boost.Test prints our values.
#pragma once

#include "messages/errc.hpp"
#include "messages/job.hpp"

#include <ostream>

namespace troupe {

inline std::ostream& operator<<(std::ostream& out, job_state state) {
  return out << to_string(state);
}
inline std::ostream& operator<<(std::ostream& out, outcome value) {
  return out << to_string(value);
}
inline std::ostream& operator<<(std::ostream& out, errc code) {
  return out << to_string(code);
}
inline std::ostream& operator<<(std::ostream& out, job_id id) {
  return out << "job " << id.value;
}
inline std::ostream& operator<<(std::ostream& out, node_id id) {
  return out << "node " << id.value;
}
inline std::ostream& operator<<(std::ostream& out, lease_id id) {
  return out << "lease " << id.value;
}

} // namespace troupe
