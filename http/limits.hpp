// Every bound of the HTTP side with its default and its answer when reached. What a job itself may
// hold (lengths, ranges) is in messages/job.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace troupe::http {

struct server_limits {
  using ms = std::chrono::milliseconds;

  // -- one request's head --
  std::size_t head_bytes = 16 * 1024;  ///< request line and fields; above: 431
  std::size_t head_fields = 100;       ///< above: 431
  std::size_t target_bytes = 8 * 1024; ///< path and query; above: 414

  // -- its body --
  std::size_t job_body_bytes = 1024 * 1024 + 64 * 1024; ///< one job: its args and the rest; 413
  std::size_t bulk_body_bytes = 16 * 1024 * 1024;       ///< 413
  std::size_t token_body_bytes = 32 * 1024;             ///< a token with its queues; 413
  std::size_t export_body_bytes = 16 * 1024;            ///< an export to be kept; 413
  std::size_t empty_body_bytes = 1024; ///< cancel and retry, which take `{}` or nothing; 413
  /// What one connection holds undecoded. Bounds chunk extensions and trailers, which no other
  /// limit counts; above: 400.
  std::size_t buffer_bytes = 64 * 1024;

  /// Bodies that are read or worked on and answers that are not written yet, of all connections
  /// together, the answers half of it at most; what is counted: http/room.hpp. Above: 503.
  std::size_t held_bytes = 512 * 1024 * 1024;

  // -- its answer --
  std::size_t page_bytes = 16 * 1024 * 1024; ///< a list ends its page early above this
  /// What is said of the jobs that a request brought and that were not stored; above, only that
  /// they were not.
  std::size_t problem_bytes = 1024 * 1024;
  /// A JSON answer of so many bytes goes out as gzip to whoever takes it.
  std::size_t gzip_bytes = 8 * 1024;
  /// Exports at once; above: 503. Each has a connection to the database, and one piece of its text.
  std::size_t exports = 2;
  std::size_t event_streams = 1'024; ///< at once; above: 503. More of them: http/event_board.hpp

  // -- deadlines: of the whole phase, not between two bytes --
  ms head{10'000};              ///< first byte (or accept: TLS) to the end of the head; 408
  ms body{60'000};              ///< 408
  std::size_t body_rate = 1024; ///< bytes per second on average, once body_grace is over; 408
  ms body_grace{5'000};
  ms answer{60'000};                      ///< from the last byte to the engine's answer; 504
  ms write{30'000};                       ///< without any progress: closed; of a stream each piece
  ms piece{660'000};                      ///< the next piece of a stream: 504, or closed
  ms idle{15'000};                        ///< between two requests: closed
  ms linger{2'000};                       ///< after our last byte, for the peer to read it
  std::size_t linger_bytes = 1024 * 1024; ///< read and thrown away meanwhile
  ms sweep{250};                          ///< how often deadlines are looked at

  // -- connections --
  std::size_t connections = 16'384;            ///< at the limit nothing more is accepted
  std::size_t connections_per_address = 2'048; ///< above: closed at once
  std::size_t heads_incomplete = 1'024;        ///< connections within a head; at the limit as above
  std::size_t requests_per_connection = 1'000; ///< the last answer says `Connection: close`
  int backlog = 1'024;
  ms certificate_look{60'000}; ///< how often the files of the certificate are looked at

  // -- tokens, where they are required --
  int token_failures = 10; ///< that one address may show at once, and open nothing; then 429
  ms token_failure{6'000}; ///< one of them comes back
  std::size_t failing_addresses = 4'096; ///< at the limit the one that failed longest ago goes
  std::size_t tokens_kept = 4'096;       ///< remembered; at the limit the one kept first goes
  ms token_kept{3'000};                  ///< then the database is asked again

  // -- how often one caller may ask: one token, or else one address --
  int caller_burst = 100;                  ///< at once; then 429
  std::chrono::nanoseconds caller_each{0}; ///< one more comes back; 0: nobody counts
  std::size_t callers = 4'096; ///< remembered; at the limit the one that asked longest ago goes

  // -- health --
  ms health_stale{15'000}; ///< a report older than this is no report: not ready
};

/// What one JSON document may be. Depth counts from `args` inside it.
struct json_limits {
  std::string_view raw_key = "args"; ///< what stands under it is passed on as it is
  int depth = 64;
  std::size_t members = 10'000; ///< of one object
  std::size_t values = 1'000;   ///< of one document outside `args`
  std::size_t raw_bytes = 1024 * 1024;
  std::size_t number_length = 512; ///< characters
  int exponent = 999;              ///< digits beyond it do not fit PostgreSQL's numeric
};

} // namespace troupe::http
