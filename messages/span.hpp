// One span of a trace, and where spans go. Values, and an interface that launcher/span_exporter.hpp
// implements.
#pragma once

#include "messages/trace.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// The numbers are OTLP's.
enum class span_kind : std::uint8_t { server = 2, consumer = 5 };

struct span {
  using value = std::variant<std::string, std::int64_t>;

  trace_context self;
  std::string parent; ///< 16 hexadecimal digits; empty: it begins the trace
  std::string name;
  span_kind kind = span_kind::server;
  std::chrono::system_clock::time_point start;
  std::chrono::system_clock::time_point end;
  bool failed = false;
  std::string failure;                                        ///< for a person; may be empty
  std::vector<std::pair<std::string_view, value>> attributes; ///< names are literals
};

/// Called from any thread; never waits for anybody's answer, and drops what it has no room for.
class span_sink {
public:
  virtual ~span_sink() = default;
  virtual void add(std::vector<span> ended) = 0;
};

} // namespace troupe
