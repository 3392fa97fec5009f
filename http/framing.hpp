// The framing guard: decides from a request's head whether its borders are beyond doubt. Beast 1.74
// alone lets smuggled requests through. Pure functions over text; what is refused is answered with
// the status given and the connection closed.
#pragma once

#include "http/limits.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::http {

/// Why a request goes no further.
struct refusal {
  int status = 400;
  std::string_view code; ///< problem+json `code`
  std::string detail;
};

struct head_field {
  std::string_view name;
  std::string_view value;
};

/// A request's head as received. The views live as long as the reader holds the request.
struct request_head {
  std::string_view method;
  std::string_view target;
  int version = 11; ///< 10 or 11
  std::vector<head_field> fields;

  /// The first field of that name (any case), or empty.
  std::string_view field(std::string_view name) const;
};

/// What the head says about the message's borders.
struct framing {
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
  std::string_view host;

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

std::variant<framing, refusal> validate_framing(const request_head& head,
                                                const server_limits& limits);

/// Finds a head's end line by line as bytes arrive, each byte looked at once, and refuses what no
/// parser should see: bare CR or LF, folded lines, heads beyond the limits.
class head_scanner {
public:
  enum class verdict : std::uint8_t { need_more, complete, refused };

  explicit head_scanner(const server_limits& limits) : limits_(limits) {}
  /// `bytes` starts where the request starts and only grows between calls.
  verdict scan(std::string_view bytes);
  std::size_t begin() const { return begin_; } ///< after at most one empty line
  std::size_t end() const { return end_; }     ///< behind the head's last CRLF
  const refusal& why() const { return why_; }
  void reset();

private:
  verdict refuse(int status, std::string_view code, std::string detail);
  verdict check_line(std::string_view line);
  verdict check_unfinished(std::string_view bytes);

  const server_limits& limits_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
  refusal why_;
};

bool iequals(std::string_view a, std::string_view b);
/// A Host field's value: a registered name or address with an optional port.
bool is_valid_host(std::string_view host);
/// The host without its port, brackets kept.
std::string_view host_name(std::string_view host);

} // namespace troupe::http
