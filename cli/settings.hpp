// Checked readers of single option values; each throws std::invalid_argument with a sentence.
#pragma once

#include "messages/crawl.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::cli {

struct endpoint {
  std::string host; ///< an IP address
  std::uint16_t port = 0;
};

/// HOST:PORT; localhost becomes 127.0.0.1, an IPv6 address stands in brackets.
endpoint read_endpoint(const std::string& text);
/// One HOST:PORT, one unix:PATH, or both with a comma between them.
struct listen_places {
  std::optional<endpoint> tcp;
  std::string socket_path; ///< empty: none
};
listen_places read_listen(const std::string& text);
/// True when only this machine reaches the address.
bool is_loopback(const std::string& host);
/// NAME:SLOTS. A name may hold colons, so the last one counts.
std::pair<std::string, int> read_queue_slots(const std::string& text);
/// http://HOST[:PORT][/PATH] or https:, without a user, a query or a fragment.
std::string read_otlp_endpoint(const std::string& text);
/// NAME=VALUE with commas between them, values percent-encoded.
std::vector<std::pair<std::string, std::string>> read_otlp_headers(const std::string& text);
/// A number of seconds, or one with its unit: 250ms, 3s, 5min, 1h.
std::chrono::milliseconds read_duration(const std::string& text);
/// NAME=XPATH.
selector read_selector(const std::string& text);
/// The names of all states of a job.
const std::vector<std::string>& state_names();
/// The name of a job's state.
void check_state(const std::string& text);
/// The digits of a job's id.
std::string read_job_id(const std::string& text);

} // namespace troupe::cli
