// What all connections of one server share: limits, routes, counters, the clock of the Date header,
// and the list of connections with the sweep over their deadlines. Loop thread only.
#pragma once

#include "http/access_control.hpp"
#include "http/event_board.hpp"
#include "http/net.hpp"
#include "http/room.hpp"
#include "http/routes.hpp"
#include "messages/trace.hpp"

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe::http {

class peer;

class hub : public std::enable_shared_from_this<hub> {
public:
  hub(net::io_context& loop, const server_limits& limits, services context);
  hub(const hub&) = delete;
  hub& operator=(const hub&) = delete;

  const server_limits& limits() const { return limits_; }
  const router& routes() const { return routes_; }
  /// Null: nobody is asked for a token.
  access_control* access() const { return access_.get(); }
  engine_counters& counters() { return *context_.counters; }
  /// One request more of this caller, who is a token, or else an address: `fields` is what its
  /// answer says of it, empty where nobody counts. One too many is refused.
  std::optional<response> spend(const token_identity* who, const std::string& address,
                                std::string& fields);
  request_metrics& requests() { return requests_; }
  /// What bodies and answers of all connections share.
  room& bytes() { return bytes_; }
  /// The part of it that answers may take, so that whoever does not read his keeps no body out.
  room& answer_bytes() { return answer_bytes_; }
  bool draining() const { return stopping_ || (context_.draining && context_.draining()); }
  bool stopping() const { return stopping_; }
  executor loop() { return loop_; }

  std::string_view date();
  std::string new_request_id();
  struct request_span {
    trace_context self;
    std::string parent; ///< empty: it begins the trace
  };
  /// What this server does in the trace that the request names. When it names none: nothing, or the
  /// begin of one where spans are exported.
  std::optional<request_span> span_of(const request_head& head);
  /// Null: nobody wants them.
  span_sink* spans() const { return context_.spans; }

  /// Whether one more connection may be accepted now.
  bool has_room() const;
  /// False when this address has its share already.
  bool add(const std::shared_ptr<peer>& joined, const std::string& address);
  void remove(peer& gone, const std::string& address);
  void head_begun() { ++heads_incomplete_; }
  void head_ended();
  /// Called when has_room() may have become true.
  void on_room(std::function<void()> callback) { on_room_ = std::move(callback); }

  /// No new requests: idle connections close now, busy ones after their answer. `done` comes when
  /// the last is gone.
  void begin_stop(std::function<void()> done);
  /// Closes what is left.
  void close_all();

private:
  void arm_sweep();
  void sweep();
  void end_stop();

  executor loop_;
  server_limits limits_;
  services context_;
  engine_counters own_counters_; ///< when nobody gave any
  request_metrics requests_;
  std::shared_ptr<event_board> events_;
  router routes_;
  std::shared_ptr<access_control> access_;
  std::optional<rate_limit> callers_;
  room bytes_;
  room answer_bytes_;
  std::vector<std::shared_ptr<peer>> peers_;
  std::unordered_map<std::string, std::size_t> per_address_;
  std::size_t heads_incomplete_ = 0;
  loop_timer sweep_timer_;
  bool sweeping_ = false;
  bool stopping_ = false;
  std::function<void()> on_room_;
  std::function<void()> on_empty_;
  std::time_t date_of_ = 0;
  std::string date_;
  std::string id_prefix_;
  std::uint64_t next_id_ = 0;
  std::mt19937_64 spans_;
};

} // namespace troupe::http
