// One connection: reads a request, has it answered, writes the answer, again. One request at a
// time; pipelined ones wait in the reader's bounded buffer. Every phase has a deadline. Loop thread
// only, except that an answer may come from any thread.
#pragma once

#include "http/admission.hpp"
#include "http/hub.hpp"
#include "http/reader.hpp"
#include "http/transport.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace troupe::http {

class peer : public std::enable_shared_from_this<peer> {
public:
  using clock = std::chrono::steady_clock;

  peer(std::shared_ptr<hub> owner, transport bytes, std::shared_ptr<const admission_rules> rules);
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;

  void start();
  /// Closes at once when idle, else after the answer under way.
  void finish_up();
  void close();
  bool overdue(clock::time_point now) const;
  void on_overdue();

  std::size_t place = 0; ///< in the hub's list; the hub's business

private:
  enum class phase : std::uint8_t {
    idle,
    head,
    judging,
    body,
    answering,
    fetching,
    writing,
    lingering,
    closed
  };

  void run();
  bool step(); ///< false: something asynchronous must happen first
  bool on_head();
  bool on_route();
  void on_verdict(std::uint64_t serial, access_control::verdict said);
  bool admitted(access_control::verdict said);
  void count_rejected(rejection why);
  bool answer_now(response answer);
  bool reject(response answer);
  bool dispatch();
  void enter(phase next, std::chrono::milliseconds limit);
  void leave_head();
  void read();
  void on_read(const error_code& ec, std::size_t count);
  void drain(std::size_t count);
  responder make_responder();
  void deliver(std::uint64_t serial, response answer);
  bool refuse(const refusal& why);
  bool respond_and_close(response answer);
  bool refuse_body();
  bool has_room_for(const response& answer);
  bool write(response answer);
  bool write_some();
  void wait_writable();
  bool after_write();
  void note_answer(bool whole);
  void export_span(clock::duration took);
  void linger();
  // peer_stream.cpp: an answer that comes in pieces. The next one is asked for when the socket has
  // taken the last; meanwhile the phase is `fetching`.
  bool begin_stream(response answer);
  bool fetch();
  void on_piece(std::uint64_t serial, text_source::piece piece);
  bool write_piece(std::string bytes);
  bool end_stream();
  bool fail_stream(const failure& why);
  void watch();
  void reset();

  struct pending_answer;
  struct pending_piece;

  std::shared_ptr<hub> hub_;
  transport transport_;
  std::shared_ptr<const admission_rules> rules_;
  request_reader reader_;
  room_share body_room_;
  room_share answer_room_;
  std::string address_;
  std::string caller_; ///< of which it is one
  phase phase_ = phase::closed;
  clock::time_point deadline_;
  clock::time_point body_begun_;
  clock::time_point answer_begun_; ///< the request's head was there
  int status_ = 0;                 ///< of the answer; 0 until it goes out
  std::uint64_t sent_ = 0;         ///< bytes of its body
  bool reading_ = false;           ///< an async read is under way
  bool counted_head_ = false;      ///< this connection counts among the incomplete heads
  bool dispatching_ = false;
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool joined_ = false;
  std::uint64_t serial_ = 0; ///< of the request being answered; late answers name an older one
  std::size_t served_ = 0;
  const route* route_ = nullptr;
  identity_ptr who_;
  std::string param_;
  std::string request_id_;
  std::optional<hub::request_span> span_;
  std::string rate_fields_;       ///< what its answer says of its caller's rate
  std::string traceparent_;       ///< of what is done for the request; empty: it names no trace
  std::optional<response> ready_; ///< an answer given while its handler still ran
  std::shared_ptr<text_source> stream_;
  std::optional<response> stream_head_; ///< until the first piece is there
  bool chunked_ = false;
  std::optional<std::uint64_t> owed_; ///< bytes of the stream, where its length was told
  bool watching_ = false;             ///< whether the client goes while nothing is written
  std::string out_head_;
  std::string out_body_;
  std::size_t written_ = 0;
  std::size_t drained_ = 0;
};

} // namespace troupe::http
